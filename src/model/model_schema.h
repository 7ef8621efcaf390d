/*
 * The JSON Schemas of every kind that the model reads, for the API's document (contract §3): made
 * of the tables that read and render, so that they cannot differ from them.
 */
#pragma once
#include <jansson.h>

/*
 * Into components (name → schema): of each kind <Title> (an answer), <Title>Create, <Title>Replace,
 * <Title>Item (a member of a set) and Resource (any item), with what they share.
 */
void fp_model_schemas(json_t *components);
