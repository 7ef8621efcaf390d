-- A path may be longer than a btree entry holds (2,704 bytes); a hash has no such bound.
DROP INDEX routes_path_prefix_idx;
CREATE INDEX routes_path_prefix_idx ON routes USING hash (path_prefix);
