/* A stranger's program: stores a pattern in a new database, finds it, and prints the library's version. */
#include <cairn/cairn.h>
#include <stdio.h>

int main(int argc, char **argv)
{
    const float vector[3] = {0.6f, 0.8f, 0.0f};
    cairn_db *db = NULL;
    cairn_collection *notes = NULL;
    cairn_results *hits = NULL;
    cairn_error err;

    cairn_status st = cairn_open(argc == 2 ? argv[1] : NULL, NULL, &db, &err);
    if (st == CAIRN_OK)
        st = cairn_collection_open(db, "notes", CAIRN_OPTIONS(cairn_collection_options, .dim = 3), &notes,
                                   &err);
    if (st == CAIRN_OK)
        st = cairn_upsert(notes, CAIRN_OPTIONS(cairn_pattern, .id = "p1", .vector = vector), 1, &err);
    if (st == CAIRN_OK)
        st = cairn_search(notes, CAIRN_OPTIONS(cairn_query, .vector = vector, .k = 1), &hits, &err);
    if (st != CAIRN_OK) {
        fprintf(stderr, "%s: %s\n", cairn_status_name(st), err.message);
        return 1;
    }
    printf("cairn %s: %zu hit, id %s\n", cairn_version(), cairn_results_count(hits),
           cairn_results_at(hits, 0)->id.text);
    cairn_results_free(hits);
    cairn_collection_close(notes);
    cairn_close(db);
    return 0;
}
