#include "tests/faults/fault_disk.h"

#include "base/rng.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum event_kind { EVENT_CREATE, EVENT_WRITE, EVENT_TRUNCATE, EVENT_DELETE };

struct event {
    enum event_kind kind;
    uint64_t offset; /* of a write; the new size of a truncation */
    size_t size;
    unsigned char *data; /* of a write */
};

struct image {
    bool exists;
    unsigned char *data;
    size_t size;
    size_t capacity;
};

struct fault_disk_file {
    struct fault_disk_file *next;
    char *path;
    struct image durable;
    struct event *events; /* since the last sync */
    size_t event_count;
    size_t event_capacity;
    bool exists; /* durable.exists after all events */
};

static struct fault_disk_file *files;

static void *must(void *memory)
{
    if (!memory) abort();
    return memory;
}

static void image_resize(struct image *image, size_t size)
{
    if (size > image->capacity) {
        image->capacity = size + size / 2;
        image->data = must(realloc(image->data, image->capacity));
    }
    if (size > image->size) memset(image->data + image->size, 0, size - image->size);
    image->size = size;
}

static void image_write(struct image *image, const unsigned char *data, size_t size, uint64_t offset)
{
    if (size == 0) return;
    if (offset + size > image->size) image_resize(image, (size_t)offset + size);
    memcpy(image->data + offset, data, size);
}

static void image_read(struct image *image, const char *path)
{
    struct stat info;
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd < 0) return;
    if (fstat(fd, &info) != 0) abort();
    image->exists = true;
    image_resize(image, (size_t)info.st_size);
    if (read(fd, image->data, image->size) != (ssize_t)image->size) abort();
    close(fd);
}

struct fault_disk_file *fault_disk_find(const char *path)
{
    struct fault_disk_file *file = files;

    while (file && strcmp(file->path, path) != 0) file = file->next;
    if (file) return file;
    file = must(calloc(1, sizeof(*file)));
    file->path = must(strdup(path));
    file->next = files;
    files = file;
    image_read(&file->durable, path);
    file->exists = file->durable.exists;
    return file;
}

static struct event *add_event(struct fault_disk_file *file, enum event_kind kind)
{
    struct event *event;

    if (file->event_count == file->event_capacity) {
        file->event_capacity = file->event_capacity * 2 + 16;
        file->events = must(realloc(file->events, file->event_capacity * sizeof(*file->events)));
    }
    event = &file->events[file->event_count++];
    *event = (struct event){.kind = kind};
    return event;
}

static void forget_events(struct fault_disk_file *file, size_t count)
{
    for (size_t i = 0; i < count; i++) free(file->events[i].data);
    file->event_count -= count;
    memmove(file->events, file->events + count, file->event_count * sizeof(*file->events));
}

void fault_disk_created(struct fault_disk_file *file)
{
    if (!file->exists) add_event(file, EVENT_CREATE);
    file->exists = true;
}

void fault_disk_written(struct fault_disk_file *file, const void *data, size_t size, uint64_t offset)
{
    struct event *event = add_event(file, EVENT_WRITE);

    event->offset = offset;
    event->size = size;
    event->data = must(malloc(size + 1));
    memcpy(event->data, data, size);
}

void fault_disk_truncated(struct fault_disk_file *file, uint64_t size)
{
    add_event(file, EVENT_TRUNCATE)->offset = size;
}

void fault_disk_deleted(struct fault_disk_file *file)
{
    add_event(file, EVENT_DELETE);
    file->exists = false;
}

static void apply(struct image *image, const struct event *event)
{
    switch (event->kind) {
    case EVENT_CREATE:
        image->exists = true;
        break;
    case EVENT_WRITE:
        image_write(image, event->data, event->size, event->offset);
        break;
    case EVENT_TRUNCATE:
        image_resize(image, (size_t)event->offset);
        break;
    case EVENT_DELETE:
        image->exists = false;
        image_resize(image, 0);
        break;
    }
}

/* The first `count` events are durable. */
static void settle(struct fault_disk_file *file, size_t count)
{
    for (size_t i = 0; i < count; i++) apply(&file->durable, &file->events[i]);
    if (count > 0) forget_events(file, count);
}

void fault_disk_synced(struct fault_disk_file *file)
{
    settle(file, file->event_count);
}

void fault_disk_folder_synced(void)
{
    for (struct fault_disk_file *file = files; file; file = file->next) {
        size_t count = file->event_count;

        while (count > 0 && file->events[count - 1].kind != EVENT_CREATE &&
               file->events[count - 1].kind != EVENT_DELETE)
            count--;
        settle(file, count); /* content before a deletion does not matter */
    }
}

/* ---- what a power cut leaves ---- */

enum fate { FATE_NOTHING, FATE_ALL, FATE_PREFIX, FATE_SUBSET, FATE_COUNT };

/* Each granule of the write goes to the disk or not. */
static void apply_torn(struct image *image, const struct event *event, size_t granule, struct crn_rng *rng)
{
    for (size_t at = 0; at < event->size;) {
        size_t part = granule - (size_t)((event->offset + at) % granule);

        if (part > event->size - at) part = event->size - at;
        if (crn_rng_below(rng, 2)) image_write(image, event->data + at, part, event->offset + at);
        at += part;
    }
}

/* A write may be torn, the others survive or do not. False: what follows happened to a file that never came
 * to be. */
static bool apply_by_chance(struct image *image, const struct event *event, size_t granule,
                            struct crn_rng *rng)
{
    if (event->kind == EVENT_WRITE) {
        apply_torn(image, event, granule, rng);
        return true;
    }
    if (crn_rng_below(rng, 2)) {
        apply(image, event);
        return true;
    }
    return event->kind == EVENT_TRUNCATE;
}

static void cut_file(struct fault_disk_file *file, struct crn_rng *rng)
{
    enum fate fate = (enum fate)crn_rng_below(rng, FATE_COUNT);
    size_t granule = crn_rng_below(rng, 2) ? 512 : 4096;
    size_t whole = 0; /* events before this one survive as they are */

    if (fate == FATE_NOTHING || file->event_count == 0) return;
    if (fate == FATE_ALL) whole = file->event_count;
    if (fate == FATE_PREFIX) whole = (size_t)crn_rng_below(rng, file->event_count);
    for (size_t i = 0; i < whole; i++) apply(&file->durable, &file->events[i]);
    if (fate == FATE_PREFIX) apply_by_chance(&file->durable, &file->events[whole], granule, rng);
    for (size_t i = 0; fate == FATE_SUBSET && i < file->event_count; i++)
        if (!apply_by_chance(&file->durable, &file->events[i], granule, rng)) return;
}

void fault_disk_cut(uint64_t seed)
{
    struct crn_rng rng;

    crn_rng_init(&rng, seed);
    for (struct fault_disk_file *file = files; file; file = file->next) {
        cut_file(file, &rng);
        if (file->event_count > 0) forget_events(file, file->event_count);
    }
}

static void put_back_file(const struct fault_disk_file *file)
{
    const struct image *image = &file->durable;
    char shared_memory[4096];
    int fd;

    snprintf(shared_memory, sizeof(shared_memory), "%s-shm", file->path);
    unlink(shared_memory);
    if (file->exists && access(file->path, F_OK) != 0)
        return; /* renamed by somebody else, to a durable name */
    if (!image->exists) {
        unlink(file->path);
        return;
    }
    fd = open(file->path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0 || write(fd, image->data, image->size) != (ssize_t)image->size) abort();
    close(fd);
}

void fault_disk_put_back(void)
{
    for (struct fault_disk_file *file = files; file; file = file->next) put_back_file(file);
}

void fault_disk_clear(void)
{
    while (files) {
        struct fault_disk_file *file = files;

        files = file->next;
        if (file->event_count > 0) forget_events(file, file->event_count);
        free(file->events);
        free(file->durable.data);
        free(file->path);
        free(file);
    }
}
