/* Payloads: paths into them, what is shown of them, and changing them. */
#include "server/qdrant_internal.h"

#include <string.h>

/* ---- paths: a.b, a[].b, a[3], "a.b".c ---- */

static bool bad_path(struct crn_qd_call *call, const char *text)
{
    return crn_qd_fail(call, 400, "Format error in JSON body: Invalid json path: '%s'", text);
}

static bool read_brackets(struct crn_qd_call *call, const char *text, const char **at,
                          struct crn_qd_path_step *step)
{
    *step = (struct crn_qd_path_step){0};
    for (++*at; **at >= '0' && **at <= '9'; ++*at) {
        if (step->index > (UINT64_MAX - 9) / 10) return bad_path(call, text);
        step->index = step->index * 10 + (uint64_t)(**at - '0');
        step->one = true;
    }
    if (**at != ']') return bad_path(call, text);
    ++*at;
    return true;
}

bool crn_qd_read_path(struct crn_qd_call *call, const char *text, struct crn_qd_path *out)
{
    const char *at = text;

    *out = (struct crn_qd_path){.steps = crn_qd_take(call, strlen(text) + 1, sizeof *out->steps)};
    if (out->steps == NULL) return false;
    for (;;) {
        struct crn_qd_path_step *step = &out->steps[out->count++];
        if (*at == '"') {
            step->key = ++at;
            step->key_length = strcspn(at, "\"");
            at += step->key_length;
            if (*at++ != '"') return bad_path(call, text);
        } else {
            step->key = at;
            step->key_length = strcspn(at, ".[");
            at += step->key_length;
        }
        if (step->key_length == 0) return bad_path(call, text);
        while (*at == '[') {
            if (!read_brackets(call, text, &at, &out->steps[out->count++])) return false;
        }
        if (*at == '\0') return true;
        if (*at++ != '.') return bad_path(call, text);
    }
}

static bool walk(const struct crn_qd_path *path, size_t depth, struct crn_json value, crn_qd_value_fn fn,
                 void *ctx)
{
    const bool at_end = depth == path->count;
    const struct crn_qd_path_step *step = &path->steps[depth];
    struct crn_json_iter it;
    struct crn_json next;
    const char *key;
    size_t length;
    uint64_t i = 0;

    if (at_end && crn_json_type(value) != CRN_JSON_ARRAY) return fn(ctx, value);
    if (!at_end && step->key != NULL) {
        return !crn_json_get_n(value, step->key, step->key_length, &next) ||
               crn_json_type(value) != CRN_JSON_OBJECT || walk(path, depth + 1, next, fn, ctx);
    }
    if (crn_json_type(value) != CRN_JSON_ARRAY) return true;
    for (crn_json_iter_init(&it, value); crn_json_iter_next(&it, &next, &key, &length); i++) {
        if (at_end ? !fn(ctx, next)
                   : (!step->one || step->index == i) && !walk(path, depth + 1, next, fn, ctx))
            return false;
    }
    return true;
}

bool crn_qd_each_value(const struct crn_qd_path *path, struct crn_json payload, crn_qd_value_fn fn, void *ctx)
{
    return walk(path, 0, payload, fn, ctx);
}

/* ---- what is shown ---- */

bool crn_qd_read_with_payload(struct crn_qd_call *call, struct crn_json body, bool by_default,
                              struct crn_qd_select_payload *out)
{
    struct crn_json value;

    *out = (struct crn_qd_select_payload){.any = by_default, .all = by_default};
    if (!crn_qd_member(body, "with_payload", &value)) return true;
    switch (crn_json_type(value)) {
    case CRN_JSON_BOOL:
        out->any = out->all = crn_json_bool(value);
        return true;
    case CRN_JSON_ARRAY:
        *out = (struct crn_qd_select_payload){.any = true, .include = value, .has_include = true};
        return true;
    case CRN_JSON_OBJECT:
        *out = (struct crn_qd_select_payload){.any = true};
        out->has_include = crn_qd_member(value, "include", &out->include);
        out->has_exclude = crn_qd_member(value, "exclude", &out->exclude);
        if (out->has_include || out->has_exclude) return true;
        /* fall through */
    default:
        return crn_qd_fail(
            call, 400,
            "Format error in JSON body: data did not match any variant of untagged enum WithPayloadInterface");
    }
}

/* Paths of a selection with how far each has been followed. */
struct selection {
    const struct crn_qd_path *paths;
    size_t *depths; /* SIZE_MAX: not on this way */
    size_t count;
};

enum choice { CHOICE_OFF, CHOICE_WHOLE, CHOICE_PART };

/* What becomes of a member (key) or of an array's elements (NULL): moves the depths of `from` into `to`. */
static enum choice follow(const struct selection *from, struct selection *to, const char *key, size_t length)
{
    enum choice choice = CHOICE_OFF;

    for (size_t i = 0; i < from->count; i++) {
        const struct crn_qd_path *path = &from->paths[i];
        size_t depth = from->depths[i];
        to->depths[i] = SIZE_MAX;
        if (depth == SIZE_MAX) continue;
        const struct crn_qd_path_step *step = &path->steps[depth];
        const bool fits = key == NULL ? step->key == NULL
                                      : step->key != NULL && step->key_length == length &&
                                            memcmp(step->key, key, length) == 0;
        if (!fits) continue;
        if (++depth == path->count) return CHOICE_WHOLE;
        to->depths[i] = depth;
        choice = CHOICE_PART;
    }
    return choice;
}

static bool write_selected(struct crn_qd_call *call, struct crn_json value, const struct selection *selection,
                           bool include)
{
    struct crn_json_iter it;
    struct crn_json member;
    const char *key;
    size_t length, written = 0;
    const bool object = crn_json_type(value) == CRN_JSON_OBJECT;
    struct selection below = *selection;

    if (!object && crn_json_type(value) != CRN_JSON_ARRAY) {
        crn_json_write(value, call->out);
        return true;
    }
    below.depths = crn_qd_take(call, selection->count + 1, sizeof *below.depths);
    if (below.depths == NULL) return false;
    crn_buf_putc(call->out, object ? '{' : '[');
    for (crn_json_iter_init(&it, value); crn_json_iter_next(&it, &member, &key, &length);) {
        const enum choice choice = follow(selection, &below, object ? key : NULL, length);
        const bool container =
            crn_json_type(member) == CRN_JSON_OBJECT || crn_json_type(member) == CRN_JSON_ARRAY;
        const bool shown =
            include ? choice == CHOICE_WHOLE || (choice == CHOICE_PART && container) : choice != CHOICE_WHOLE;
        if (!shown) continue;
        if (written++ > 0) crn_buf_putc(call->out, ',');
        if (object) {
            crn_buf_json_string(call->out, key, length);
            crn_buf_putc(call->out, ':');
        }
        if (choice == CHOICE_PART && container) {
            if (!write_selected(call, member, &below, include)) return false;
        } else {
            crn_json_write(member, call->out);
        }
    }
    crn_buf_putc(call->out, object ? '}' : ']');
    return true;
}

static bool write_by_paths(struct crn_qd_call *call, struct crn_json payload, struct crn_json names,
                           bool include)
{
    struct crn_json_iter it;
    struct crn_json name;
    const char *key;
    size_t length;
    struct selection selection = {0};

    struct crn_qd_path *paths = crn_qd_take(call, crn_json_size(names) + 1, sizeof *paths);
    selection.depths = crn_qd_take(call, crn_json_size(names) + 1, sizeof *selection.depths);
    if (paths == NULL || selection.depths == NULL) return false;
    for (crn_json_iter_init(&it, names); crn_json_iter_next(&it, &name, &key, &length);) {
        if (crn_json_type(name) != CRN_JSON_STRING)
            return crn_qd_wrong_type(call, "with_payload", "a string", name);
        if (!crn_qd_read_path(call, crn_json_string(name, &length), &paths[selection.count++])) return false;
    }
    selection.paths = paths;
    return write_selected(call, payload, &selection, include);
}

bool crn_qd_write_payload(struct crn_qd_call *call, const char *payload,
                          const struct crn_qd_select_payload *select)
{
    struct crn_json root;

    if (!select->any) return true;
    if (payload == NULL) payload = "{}";
    crn_buf_puts(call->out, ",\"payload\":");
    if (select->all) {
        crn_buf_puts(call->out, payload);
        return true;
    }
    if (!crn_qd_parse_scratch(call, payload, strlen(payload), &root)) return false;
    return write_by_paths(call, root, select->has_include ? select->include : select->exclude,
                          select->has_include);
}

/* ---- changing ---- */

struct change {
    enum crn_qd_payload_change kind;
    struct crn_json payload;  /* SET, OVERWRITE */
    struct crn_qd_path path;  /* SET: where; count 0: at the top */
    struct crn_qd_path *keys; /* DELETE */
    size_t key_count;
};

/* `value` with the patch merged into what is at the path; what is not there is made, but for elements of arrays. */
static void write_set_at(struct crn_buf *out, const struct crn_json *value, const struct change *change,
                         size_t depth)
{
    const struct crn_qd_path_step *step = depth < change->path.count ? &change->path.steps[depth] : NULL;
    const enum crn_json_type type = value == NULL ? CRN_JSON_NULL : crn_json_type(*value);
    struct crn_json_iter it;
    struct crn_json member;
    const char *key;
    size_t length;
    uint64_t i = 0;
    bool first = true, found = false;

    if (step == NULL) {
        if (type == CRN_JSON_OBJECT) {
            crn_qd_write_merged(out, *value, change->payload, false);
        } else {
            crn_json_write(change->payload, out);
        }
        return;
    }
    if (step->key == NULL) {
        crn_buf_putc(out, '[');
        for (crn_json_iter_init(&it, type == CRN_JSON_ARRAY ? *value : change->payload);
             type == CRN_JSON_ARRAY && crn_json_iter_next(&it, &member, &key, &length); i++) {
            if (i > 0) crn_buf_putc(out, ',');
            if (!step->one || step->index == i) {
                write_set_at(out, &member, change, depth + 1);
            } else {
                crn_json_write(member, out);
            }
        }
        crn_buf_putc(out, ']');
        return;
    }
    crn_buf_putc(out, '{');
    if (type == CRN_JSON_OBJECT) {
        for (crn_json_iter_init(&it, *value); crn_json_iter_next(&it, &member, &key, &length);) {
            if (!first) crn_buf_putc(out, ',');
            first = false;
            crn_buf_json_string(out, key, length);
            crn_buf_putc(out, ':');
            if (length == step->key_length && memcmp(key, step->key, length) == 0) {
                found = true;
                write_set_at(out, &member, change, depth + 1);
            } else {
                crn_json_write(member, out);
            }
        }
    }
    if (!found) {
        if (!first) crn_buf_putc(out, ',');
        crn_buf_json_string(out, step->key, step->key_length);
        crn_buf_putc(out, ':');
        write_set_at(out, NULL, change, depth + 1);
    }
    crn_buf_putc(out, '}');
}

static bool write_without_keys(struct crn_qd_call *call, struct crn_buf *out, struct crn_json payload,
                               const struct change *change)
{
    struct selection selection = {.paths = change->keys, .count = change->key_count};
    struct crn_buf *answer = call->out;

    selection.depths = crn_qd_take(call, change->key_count + 1, sizeof *selection.depths);
    if (selection.depths == NULL) return false;
    call->out = out;
    const bool done = write_selected(call, payload, &selection, false);
    call->out = answer;
    return done;
}

static const char *changed_payload(struct crn_qd_call *call, const cairn_pattern *point,
                                   const struct change *change)
{
    const char *old = point->payload == NULL ? "{}" : point->payload;
    struct crn_json root;
    struct crn_buf text;

    if (change->kind == QD_PAYLOAD_CLEAR) return "{}";
    crn_buf_init(&text, SIZE_MAX / 2);
    bool done = true;
    if (change->kind == QD_PAYLOAD_OVERWRITE) {
        crn_json_write(change->payload, &text);
    } else {
        done = crn_qd_parse_scratch(call, old, strlen(old), &root);
        if (done && change->kind == QD_PAYLOAD_SET) write_set_at(&text, &root, change, 0);
        if (done && change->kind == QD_PAYLOAD_DELETE) done = write_without_keys(call, &text, root, change);
    }
    if (done) return crn_qd_keep(call, &text);
    crn_buf_release(&text);
    return NULL;
}

static bool read_keys(struct crn_qd_call *call, struct crn_json body, struct change *change)
{
    struct crn_json keys, key;
    struct crn_json_iter it;
    const char *name;
    size_t length;

    if (!crn_qd_member(body, "keys", &keys)) return crn_qd_missing(call, "keys");
    if (crn_json_type(keys) != CRN_JSON_ARRAY) return crn_qd_wrong_type(call, "keys", "a sequence", keys);
    change->keys = crn_qd_take(call, crn_json_size(keys) + 1, sizeof *change->keys);
    if (change->keys == NULL) return false;
    for (crn_json_iter_init(&it, keys); crn_json_iter_next(&it, &key, &name, &length);) {
        if (crn_json_type(key) != CRN_JSON_STRING) return crn_qd_wrong_type(call, "keys", "a string", key);
        if (!crn_qd_read_path(call, crn_json_string(key, &length), &change->keys[change->key_count++]))
            return false;
    }
    return true;
}

static bool read_change(struct crn_qd_call *call, struct crn_json body, struct change *change)
{
    const char *key = NULL;

    if (change->kind == QD_PAYLOAD_CLEAR) return true;
    if (change->kind == QD_PAYLOAD_DELETE) return read_keys(call, body, change);
    if (!crn_qd_member(body, "payload", &change->payload)) return crn_qd_missing(call, "payload");
    if (crn_json_type(change->payload) != CRN_JSON_OBJECT)
        return crn_qd_wrong_type(call, "payload", "a map", change->payload);
    if (!crn_qd_get_text(call, body, "key", &key)) return false;
    if (key == NULL) return true;
    if (change->kind == QD_PAYLOAD_OVERWRITE) change->kind = QD_PAYLOAD_SET;
    return crn_qd_read_path(call, key, &change->path);
}

/* Every point is written as it was read, or all are read again: somebody changed one of them in between. */
bool crn_qd_change_payload(struct crn_qd_call *call, struct crn_qd_collection *collection,
                           struct crn_json body, enum crn_qd_payload_change kind)
{
    struct change change = {.kind = kind};
    cairn_status status = CAIRN_CONFLICT;
    cairn_error err = {0};

    if (!read_change(call, body, &change)) return false;
    for (int attempt = 0; attempt < 20 && (status == CAIRN_CONFLICT || status == CAIRN_NOT_FOUND);
         attempt++) {
        cairn_patterns *points;
        size_t count;
        if (!crn_qd_read_selection(call, collection, body, false, &points, &count)) return false;
        cairn_pattern *writes = crn_qd_take(call, count + 1, sizeof *writes);
        size_t chosen = 0;
        for (size_t i = 0; writes != NULL && i < count; i++) {
            const cairn_pattern *point = cairn_patterns_at(points, i);
            cairn_pattern *to = &writes[chosen];
            if (point->id_type == CAIRN_ID_STRING) continue; /* no point */
            chosen++;
            *to = (cairn_pattern){.size = sizeof *to,
                                  .id_type = point->id_type,
                                  .id_u64 = point->id_u64,
                                  .if_version = point->version};
            to->id = crn_qd_take_text(call, point->id, strlen(point->id));
            to->payload = changed_payload(call, point, &change);
            if (to->payload == NULL || to->id == NULL) writes = NULL;
        }
        cairn_patterns_free(points);
        if (writes == NULL) return false;
        uint64_t bytes = 0;
        for (size_t i = 0; i < chosen; i++) bytes += strlen(writes[i].payload);
        const bool grows = kind == QD_PAYLOAD_SET || kind == QD_PAYLOAD_OVERWRITE;
        if (grows && !crn_qd_strict_payloads(call, collection, bytes)) return false;
        status = chosen == 0 ? CAIRN_OK
                             : cairn_write(collection->handle, CAIRN_UPDATE, writes, chosen, NULL, &err);
    }
    return crn_qd_ok(call, status, &err);
}

static bool change_endpoint(struct crn_qd_call *call, enum crn_qd_payload_change kind)
{
    struct crn_qd_collection *collection = crn_qd_lease_of_path(call);

    return collection != NULL && crn_qd_change_payload(call, collection, call->body, kind) &&
           crn_qd_write_update_result(call);
}

bool crn_qd_payload_set(struct crn_qd_call *call)
{
    return change_endpoint(call, QD_PAYLOAD_SET);
}

bool crn_qd_payload_overwrite(struct crn_qd_call *call)
{
    return change_endpoint(call, QD_PAYLOAD_OVERWRITE);
}

bool crn_qd_payload_delete(struct crn_qd_call *call)
{
    return change_endpoint(call, QD_PAYLOAD_DELETE);
}

bool crn_qd_payload_clear(struct crn_qd_call *call)
{
    return change_endpoint(call, QD_PAYLOAD_CLEAR);
}
