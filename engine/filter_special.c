/*
 * Conditions on a value that are more than a comparison. Operands are read once, when the filter is parsed; matching allocates nothing
 * and does not fail. What the operators mean is in docs/FILTERS.md.
 */
#include "engine/filter_special.h"
#include "engine/filter_words.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/mem.h"

#include <math.h>
#include <string.h>

#define EARTH_RADIUS_M 6371008.8 /* mean radius, IUGG */

struct place {
    double lon, lat;
};

struct ring {
    struct place *points;
    size_t count;
};

struct crn_filter_special {
    struct crn_value bounds[4]; /* RANGE, TIME (I64 of ms), COUNT (I64) */
    enum crn_compare compares[4];
    size_t bound_count;
    struct crn_value text;   /* PREFIX, SUBSTRING */
    struct crn_words *words; /* WORDS */
    struct place a, b;       /* BOX: top left, bottom right; RADIUS: center */
    double radius_m;
    struct ring *rings; /* POLYGON: the exterior, then the holes */
    size_t ring_count;
};

struct reading {
    struct crn_filter *filter;
    struct crn_filter_special *special;
    const char *name, *path;
    cairn_error *err;
};

static cairn_status refuse(const struct reading *reading, const char *wanted)
{
    return crn_error_set(reading->err, CAIRN_INVALID_FILTER, "filter: %s of \"%s\" takes %s", reading->name,
                         reading->path, wanted);
}

/* ---- bounds ---- */

static const struct {
    const char *name;
    enum crn_compare compare;
} bound_names[] = {{"gt", CRN_GT}, {"gte", CRN_GTE}, {"lt", CRN_LT}, {"lte", CRN_LTE}};

static cairn_status read_bound(const struct reading *reading, enum crn_filter_kind kind, struct crn_json json,
                               struct crn_value *out)
{
    size_t len;

    switch (kind) {
    case CRN_FILTER_RANGE:
        if (!crn_json_is_number(json) && crn_json_type(json) != CRN_JSON_STRING)
            return refuse(reading, "numbers or strings as bounds");
        *out = crn_filter_value(json);
        if (out->type != CRN_VALUE_STRING) return CAIRN_OK;
        return crn_filter_take_text(reading->filter, out->string, out->string_len, &out->string,
                                    reading->err);
    case CRN_FILTER_COUNT:
        if (crn_json_type(json) != CRN_JSON_I64 || crn_json_i64(json) < 0)
            return refuse(reading, "numbers from 0 on as bounds");
        *out = (struct crn_value){.type = CRN_VALUE_I64, .i64 = crn_json_i64(json)};
        return CAIRN_OK;
    default: { /* TIME */
        const char *text = crn_json_string(json, &len);
        *out = (struct crn_value){.type = CRN_VALUE_I64};
        if (crn_json_type(json) == CRN_JSON_STRING && crn_clock_parse(text, len, &out->i64)) return CAIRN_OK;
        return refuse(reading, "times as RFC 3339 has them (\"2024-05-01T10:00:00Z\") as bounds");
    }
    }
}

static cairn_status read_bounds(const struct reading *reading, enum crn_filter_kind kind,
                                struct crn_json operand)
{
    struct crn_filter_special *special = reading->special;
    struct crn_json_iter it;
    struct crn_json bound;
    const char *name;
    size_t len;

    if (crn_json_type(operand) != CRN_JSON_OBJECT) return refuse(reading, "an object of gt, gte, lt, lte");
    for (crn_json_iter_init(&it, operand); crn_json_iter_next(&it, &bound, &name, &len);) {
        size_t i = 0;
        while (i < 4 && strcmp(bound_names[i].name, name) != 0) i++;
        if (i == 4 || special->bound_count == 4)
            return refuse(reading, "gt, gte, lt, lte, each once, and nothing else");
        special->compares[special->bound_count] = bound_names[i].compare;
        CRN_TRY(read_bound(reading, kind, bound, &special->bounds[special->bound_count]));
        special->bound_count++;
    }
    return CAIRN_OK;
}

static bool within(const struct crn_filter_special *special, const struct crn_value *value)
{
    for (size_t i = 0; i < special->bound_count; i++) {
        if (!crn_filter_compares(value, special->compares[i], &special->bounds[i])) return false;
    }
    return true;
}

/* ---- places ---- */

static bool read_place(struct crn_json json, struct place *out)
{
    struct crn_json lon, lat;

    if (!crn_json_get(json, "lon", &lon) || !crn_json_get(json, "lat", &lat)) return false;
    if (!crn_json_is_number(lon) || !crn_json_is_number(lat)) return false;
    *out = (struct place){crn_json_double(lon), crn_json_double(lat)};
    return fabs(out->lon) <= 180 && fabs(out->lat) <= 90;
}

static cairn_status read_ring(const struct reading *reading, struct crn_json json, struct ring *out)
{
    struct crn_json points, point;
    struct crn_json_iter it;
    const char *key;
    size_t len;

    if (!crn_json_get(json, "points", &points) || crn_json_size(points) < 4)
        return refuse(reading, "rings of at least 4 points, closed");
    out->points = crn_filter_take(reading->filter, crn_json_size(points) * sizeof *out->points);
    if (out->points == NULL) return crn_error_no_memory(reading->err, sizeof *out->points);
    for (crn_json_iter_init(&it, points); crn_json_iter_next(&it, &point, &key, &len);) {
        if (!read_place(point, &out->points[out->count++]))
            return refuse(reading, "points {lon, lat} of the globe");
    }
    const struct place *first = &out->points[0], *last = &out->points[out->count - 1];
    if (first->lon != last->lon || first->lat != last->lat)
        return refuse(reading, "rings of at least 4 points, closed");
    return CAIRN_OK;
}

static cairn_status read_polygon(const struct reading *reading, struct crn_json operand)
{
    struct crn_filter_special *special = reading->special;
    struct crn_json exterior, interiors, ring;
    struct crn_json_iter it;
    const char *key;
    size_t len;

    if (!crn_json_get(operand, "exterior", &exterior)) return refuse(reading, "an exterior");
    const bool has_holes = crn_json_get(operand, "interiors", &interiors);
    special->rings = crn_filter_take(reading->filter, (1 + (has_holes ? crn_json_size(interiors) : 0)) *
                                                          sizeof *special->rings);
    if (special->rings == NULL) return crn_error_no_memory(reading->err, sizeof *special->rings);
    CRN_TRY(read_ring(reading, exterior, &special->rings[special->ring_count++]));
    if (!has_holes) return CAIRN_OK;
    for (crn_json_iter_init(&it, interiors); crn_json_iter_next(&it, &ring, &key, &len);) {
        CRN_TRY(read_ring(reading, ring, &special->rings[special->ring_count++]));
    }
    return CAIRN_OK;
}

static cairn_status read_box(const struct reading *reading, struct crn_json operand)
{
    struct crn_json a, b;

    if (!crn_json_get(operand, "top_left", &a) || !crn_json_get(operand, "bottom_right", &b) ||
        !read_place(a, &reading->special->a) || !read_place(b, &reading->special->b)) {
        return refuse(reading, "top_left and bottom_right, each a place {lon, lat} of the globe");
    }
    return CAIRN_OK;
}

static cairn_status read_radius(const struct reading *reading, struct crn_json operand)
{
    struct crn_json center, radius;

    if (!crn_json_get(operand, "center", &center) || !crn_json_get(operand, "radius", &radius) ||
        !crn_json_is_number(radius) || !read_place(center, &reading->special->a)) {
        return refuse(reading, "a center {lon, lat} of the globe and a radius in metres");
    }
    reading->special->radius_m = crn_json_double(radius);
    return CAIRN_OK;
}

/* Great-circle distance by the haversine formula. */
static double distance_m(double lon_a, double lat_a, double lon_b, double lat_b)
{
    const double to_radians = acos(-1) / 180;
    const double lat = sin((lat_b - lat_a) * to_radians / 2), lon = sin((lon_b - lon_a) * to_radians / 2);
    const double h = lat * lat + cos(lat_a * to_radians) * cos(lat_b * to_radians) * lon * lon;

    return 2 * EARTH_RADIUS_M * asin(sqrt(h < 1 ? h : 1));
}

/* Borders are outside. A box whose left is greater than its right crosses the antimeridian. */
static bool in_box(const struct crn_filter_special *special, const struct place *place)
{
    const struct place *a = &special->a, *b = &special->b;
    const bool crossing = a->lon > b->lon;
    const bool lon =
        crossing ? place->lon > a->lon || place->lon < b->lon : place->lon > a->lon && place->lon < b->lon;

    return lon && place->lat < a->lat && place->lat > b->lat;
}

/* A ray to the east crosses the ring's edges an odd number of times from inside. */
static bool in_ring(const struct ring *ring, const struct place *place)
{
    bool inside = false;

    for (size_t i = 1; i < ring->count; i++) {
        const struct place *a = &ring->points[i - 1], *b = &ring->points[i];
        if ((a->lat > place->lat) == (b->lat > place->lat)) continue;
        if (place->lon < (b->lon - a->lon) * (place->lat - a->lat) / (b->lat - a->lat) + a->lon)
            inside = !inside;
    }
    return inside;
}

static bool in_polygon(const struct crn_filter_special *special, const struct place *place)
{
    if (!in_ring(&special->rings[0], place)) return false;
    for (size_t i = 1; i < special->ring_count; i++) {
        if (in_ring(&special->rings[i], place)) return false;
    }
    return true;
}

static bool place_matches(enum crn_filter_kind kind, const struct crn_filter_special *special,
                          struct crn_json value)
{
    struct place place;

    if (!read_place(value, &place)) return false;
    if (kind == CRN_FILTER_BOX) return in_box(special, &place);
    if (kind == CRN_FILTER_POLYGON) return in_polygon(special, &place);
    return distance_m(place.lon, place.lat, special->a.lon, special->a.lat) < special->radius_m;
}

/* ---- all of them ---- */

static cairn_status read_text(const struct reading *reading, struct crn_json operand)
{
    struct crn_value *text = &reading->special->text;

    if (crn_json_type(operand) != CRN_JSON_STRING) return refuse(reading, "a string");
    *text = crn_filter_value(operand);
    return crn_filter_take_text(reading->filter, text->string, text->string_len, &text->string, reading->err);
}

cairn_status crn_filter_special_parse(struct crn_filter *filter, enum crn_filter_kind kind, const char *name,
                                      const char *path, struct crn_json operand,
                                      struct crn_filter_special **out, cairn_error *err)
{
    struct reading reading = {.filter = filter, .name = name, .path = path, .err = err};

    reading.special = crn_filter_take(filter, sizeof *reading.special);
    if (reading.special == NULL) return crn_error_no_memory(err, sizeof *reading.special);
    *out = reading.special;
    switch (kind) {
    case CRN_FILTER_RANGE:
    case CRN_FILTER_TIME:
    case CRN_FILTER_COUNT:
        return read_bounds(&reading, kind, operand);
    case CRN_FILTER_PREFIX:
    case CRN_FILTER_SUBSTRING:
        return read_text(&reading, operand);
    case CRN_FILTER_WORDS:
        return crn_words_parse(filter, path, operand, &reading.special->words, err);
    case CRN_FILTER_BOX:
        return read_box(&reading, operand);
    case CRN_FILTER_RADIUS:
        return read_radius(&reading, operand);
    case CRN_FILTER_POLYGON:
        return read_polygon(&reading, operand);
    default:
        return CAIRN_INTERNAL;
    }
}

static bool count_matches(const struct crn_filter_special *special, struct crn_json value)
{
    struct crn_value count = {.type = CRN_VALUE_I64, .i64 = 1};

    if (crn_json_type(value) == CRN_JSON_NULL) count.i64 = 0;
    if (crn_json_type(value) == CRN_JSON_ARRAY) count.i64 = (int64_t)crn_json_size(value);
    return within(special, &count);
}

static bool time_matches(const struct crn_filter_special *special, const char *text, size_t len)
{
    struct crn_value time = {.type = CRN_VALUE_I64};

    return crn_clock_parse(text, len, &time.i64) && within(special, &time);
}

bool crn_filter_special_matches(enum crn_filter_kind kind, const struct crn_filter_special *special,
                                struct crn_json value)
{
    size_t len = 0;

    if (kind == CRN_FILTER_COUNT) return count_matches(special, value);
    if (kind == CRN_FILTER_BOX || kind == CRN_FILTER_RADIUS || kind == CRN_FILTER_POLYGON)
        return place_matches(kind, special, value);
    if (kind == CRN_FILTER_RANGE) {
        const enum crn_json_type type = crn_json_type(value);
        if (type == CRN_JSON_ARRAY || type == CRN_JSON_OBJECT) return false;
        const struct crn_value read = crn_filter_value(value);
        return (crn_json_is_number(value) || type == CRN_JSON_STRING) && within(special, &read);
    }
    if (crn_json_type(value) != CRN_JSON_STRING) return false;
    const char *text = crn_json_string(value, &len);
    switch (kind) {
    case CRN_FILTER_TIME:
        return time_matches(special, text, len);
    case CRN_FILTER_PREFIX:
        return len >= special->text.string_len &&
               memcmp(text, special->text.string, special->text.string_len) == 0;
    case CRN_FILTER_SUBSTRING:
        return memmem(text, len, special->text.string, special->text.string_len) != NULL;
    default:
        return crn_words_match(special->words, text, len);
    }
}

bool crn_filter_special_zero(const struct crn_filter_special *special)
{
    const struct crn_value zero = {.type = CRN_VALUE_I64};

    return within(special, &zero);
}

void crn_filter_special_bounds(const struct crn_filter_special *special, const struct crn_value **out_values,
                               const enum crn_compare **out_compares, size_t *out_count)
{
    *out_values = special->bounds;
    *out_compares = special->compares;
    *out_count = special->bound_count;
}
