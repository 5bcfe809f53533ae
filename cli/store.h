/*
 * What a command works on: a database, one of its collections, and the embedder that makes vectors of its
 * texts; and the option groups that name them.
 */
#ifndef CRN_CLI_STORE_H
#define CRN_CLI_STORE_H

#include "cli/args.h"

#include <cairn/cairn.h>
#include <stdbool.h>

/* --collection */
extern const struct crn_cli_group crn_cli_collection_group;
const char *crn_cli_collection_name(void); /* as given, else "default" */
bool crn_cli_collection_given(void);

/* --embed */
extern const struct crn_cli_group crn_cli_embed_group;
bool crn_cli_embed_given(void);

/* --dim, --metric, --quantization, --index, --model, --lexical: how a collection is created. */
extern const struct crn_cli_group crn_cli_settings_group;
bool crn_cli_settings_given(void);
/* The settings as options of a collection. What was not given is zero. */
cairn_collection_options crn_cli_settings(void);

enum crn_cli_access {
    CRN_CLI_READ,   /* must exist; a file that cannot be written is opened for reading alone */
    CRN_CLI_WRITE,  /* must exist */
    CRN_CLI_CREATE, /* created when absent */
    CRN_CLI_LOAD,   /* the same, for many rows at once */
};

struct crn_cli_store {
    cairn_db *db;
    cairn_collection *collection;
    cairn_embedder *embedder;
};

/* Opens the database alone. Whatever comes of it, crn_cli_store_close is right. */
cairn_status crn_cli_store_open_db(struct crn_cli_store *store, const char *path, enum crn_cli_access access,
                                   cairn_error *err);

/* Opens the database and the collection --collection, which must exist, and attaches an embedder: the one of
 * --embed, or the built-in one when it made the collection's vectors. */
cairn_status crn_cli_store_open(struct crn_cli_store *store, const char *path, enum crn_cli_access access,
                                cairn_error *err);

/* Opens the collection of an open database, as above. *out_exists = false when there is none (which is
 * OK). */
cairn_status crn_cli_store_collection(struct crn_cli_store *store, bool *out_exists, cairn_error *err);

/* Creates the collection from the settings on the command line, or from `schema`, an export's JSON (may be
 * NULL). Where these leave it open the first record decides (may be NULL): its vector gives the dim, and
 * without one the built-in embedder is used. */
cairn_status crn_cli_store_create(struct crn_cli_store *store, const char *schema, const cairn_pattern *first,
                                  cairn_error *err);

/* Fills in what the settings leave open for a collection without records: the model and dim of --embed. */
cairn_status crn_cli_store_complete(struct crn_cli_store *store, cairn_collection_options *options,
                                    cairn_error *err);

void crn_cli_store_close(struct crn_cli_store *store);

/* The default space of a collection's settings; NULL when it has none. */
const cairn_space_options *crn_cli_store_space(const cairn_collection_options *options,
                                               cairn_space_options *scratch);

#endif
