/*
 * The five-minute tour as a program: remember three things, find the one that helps.
 *
 *   cc tour.c $(pkg-config --cflags --libs cairn) -o tour && ./tour
 */
#include <cairn/cairn.h>
#include <stdio.h>

static int fail(const cairn_error *err)
{
    fprintf(stderr, "%s: %s\n", cairn_status_name(err->status), err->message);
    return 1;
}

int main(int argc, char **argv)
{
    const char *path = argc > 1 ? argv[1] : "memory.cairn";
    const cairn_pattern lessons[] = {
        {.size = sizeof(cairn_pattern),
         .id = "ccache",
         .domain = "build",
         .text = "Builds are slow: use ccache, and ninja instead of make.",
         .payload = "{\"minutes_saved\": 12}"},
        {.size = sizeof(cairn_pattern),
         .id = "flaky",
         .domain = "test",
         .text = "A flaky test often waits for a fixed time. Wait for the event.",
         .payload = "{\"minutes_saved\": 30}"},
        {.size = sizeof(cairn_pattern),
         .id = "bisect",
         .domain = "test",
         .text = "When a test broke last week, git bisect finds the commit.",
         .payload = "{\"minutes_saved\": 45}"},
    };
    cairn_embedder *embedder = NULL;
    cairn_collection *notes = NULL;
    cairn_results *hits = NULL;
    cairn_db *db = NULL;
    cairn_error err;
    int status = 1;

    if (cairn_open(path, NULL, &db, &err) != CAIRN_OK) return fail(&err);
    if (cairn_embedder_ngram(0, &embedder, &err) != CAIRN_OK) goto failed;
    if (cairn_collection_open(db, "notes", CAIRN_OPTIONS(cairn_collection_options, .dim = embedder->dim),
                              &notes, &err) != CAIRN_OK)
        goto failed;
    if (cairn_collection_attach(notes, embedder, &err) != CAIRN_OK) goto failed;

    /* Answered means on disk. */
    if (cairn_upsert(notes, lessons, 3, &err) != CAIRN_OK) goto failed;

    const cairn_query question = {.size = sizeof question,
                                  .text = "my test fails sometimes, it waits",
                                  .k = 2,
                                  .filter = "{\"minutes_saved\": {\"$gte\": 20}}",
                                  .with_pattern = true};
    if (cairn_search(notes, &question, &hits, &err) != CAIRN_OK) goto failed;
    for (size_t i = 0; i < cairn_results_count(hits); i++) {
        const cairn_hit *hit = cairn_results_at(hits, i);
        printf("%.3f  %-8s %s\n", (double)hit->score, hit->id.text, hit->pattern->text);
    }
    status = 0;
failed:
    if (status != 0) fail(&err);
    cairn_results_free(hits);
    cairn_collection_close(notes);
    cairn_embedder_free(embedder);
    cairn_close(db);
    return status;
}
