-- A node names itself as it likes: one longer than a btree entry kept all rejections from being recorded.
DROP INDEX xds_nacks_node_idx;
CREATE INDEX xds_nacks_node_idx ON xds_nacks USING hash (node_id);
