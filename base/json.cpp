// JSON in, by simdjson's DOM: the only file that knows simdjson. A crn_json is a place on the document's tape
// (simdjson's doc/tape.md), where each value is one or two words, in the order of the text, and a container's
// first word tells where it ends. Word 0 stands for the document; its value begins at word 1.
//
// No exception leaves: simdjson allocates with std::nothrow, and this file is compiled without exceptions.
extern "C" {
#include "base/json.h"

#include "base/buf.h"
#include "base/error.h"
#include "base/mem.h"
#include "base/utf8.h"
}

#include <simdjson.h>

#include <charconv>
#include <cstring>
#include <new>

using simdjson::dom::document;
using simdjson::internal::tape_ref;
using simdjson::internal::tape_type;

static constexpr size_t CAPACITY_MIN = 4096;
static constexpr size_t CAPACITY_MAX = 0xFFFFFFFF;       // what simdjson can index
static constexpr size_t CAPACITY_KEPT = size_t(1) << 20; // a parser that met a giant does not stay one

struct crn_json_parser {
    simdjson::dom::parser simd;
    char *padded = nullptr; // [capacity + SIMDJSON_PADDING]: the text, and what simdjson may read behind it
    size_t capacity = 0;    // bytes of text that simd and padded have room for
};

static tape_ref at(struct crn_json value)
{
    return tape_ref(static_cast<const document *>(value.doc), value.index);
}

extern "C" struct crn_json_parser *crn_json_parser_create(void)
{
    void *memory = crn_mem_alloc(sizeof(crn_json_parser));

    return memory != nullptr ? new (memory) crn_json_parser : nullptr;
}

static void release(struct crn_json_parser *parser)
{
    parser->simd = simdjson::dom::parser();
    crn_mem_free(parser->padded);
    parser->padded = nullptr;
    parser->capacity = 0;
}

extern "C" void crn_json_parser_free(struct crn_json_parser *parser)
{
    if (parser == nullptr) return;
    release(parser);
    parser->~crn_json_parser();
    crn_mem_free(parser);
}

// Room for a text of len bytes. Capacities are powers of two, so that growing texts cost few of them.
static bool make_room(struct crn_json_parser *parser, size_t len)
{
    const bool oversized = parser->capacity > CAPACITY_KEPT && len < parser->capacity / 16;

    if (parser->padded != nullptr && len <= parser->capacity && !oversized) return true;
    size_t capacity = CAPACITY_MIN;
    while (capacity < len) capacity *= 2;
    if (capacity > CAPACITY_MAX) capacity = CAPACITY_MAX;

    release(parser);
    parser->padded = static_cast<char *>(crn_mem_alloc(capacity + simdjson::SIMDJSON_PADDING));
    if (parser->padded == nullptr) return false;
    if (parser->simd.allocate(capacity, CRN_JSON_DEPTH_MAX + 1) != simdjson::SUCCESS) { // it counts the root
        release(parser);
        return false;
    }
    parser->capacity = capacity;
    return true;
}

static cairn_status refuse(simdjson::error_code code, const char *text, size_t len, cairn_error *err)
{
    if (code == simdjson::MEMALLOC) return crn_error_no_memory(err, len);
    size_t valid = crn_utf8_valid(text, len);
    if (valid < len) {
        return crn_error_set(err, CAIRN_INVALID_UTF8, "JSON text is not valid UTF-8 at byte %zu", valid);
    }
    if (code == simdjson::DEPTH_ERROR) {
        return crn_error_set(err, CAIRN_LIMIT, "JSON is nested deeper than %d", CRN_JSON_DEPTH_MAX);
    }
    return crn_error_set(err, CAIRN_INVALID_JSON, "not valid JSON: %s", simdjson::error_message(code));
}

extern "C" cairn_status crn_json_parse(struct crn_json_parser *parser, const char *text, size_t len,
                                       struct crn_json *out_root, cairn_error *err)
{
    if (len > CAPACITY_MAX) {
        return crn_error_set(err, CAIRN_LIMIT, "JSON of %zu bytes is longer than %zu", len, CAPACITY_MAX);
    }
    if (!make_room(parser, len)) return crn_error_no_memory(err, len);
    if (len > 0) std::memcpy(parser->padded, text, len);
    std::memset(parser->padded + len, 0, simdjson::SIMDJSON_PADDING);

    const simdjson::error_code code = parser->simd.parse(parser->padded, len, false).error();
    if (code != simdjson::SUCCESS) return refuse(code, parser->padded, len, err);
    *out_root = crn_json{&parser->simd.doc, 1};
    return CAIRN_OK;
}

extern "C" enum crn_json_type crn_json_type(struct crn_json value)
{
    switch (at(value).tape_ref_type()) {
    case tape_type::TRUE_VALUE:
    case tape_type::FALSE_VALUE:
        return CRN_JSON_BOOL;
    case tape_type::INT64:
        return CRN_JSON_I64;
    case tape_type::UINT64:
        return CRN_JSON_U64;
    case tape_type::DOUBLE:
        return CRN_JSON_DOUBLE;
    case tape_type::STRING:
        return CRN_JSON_STRING;
    case tape_type::START_ARRAY:
        return CRN_JSON_ARRAY;
    case tape_type::START_OBJECT:
        return CRN_JSON_OBJECT;
    default:
        return CRN_JSON_NULL;
    }
}

extern "C" const char *crn_json_type_name(struct crn_json value)
{
    switch (crn_json_type(value)) {
    case CRN_JSON_BOOL:
        return "boolean";
    case CRN_JSON_I64:
    case CRN_JSON_U64:
    case CRN_JSON_DOUBLE:
        return "number";
    case CRN_JSON_STRING:
        return "string";
    case CRN_JSON_ARRAY:
        return "array";
    case CRN_JSON_OBJECT:
        return "object";
    default:
        return "null";
    }
}

extern "C" bool crn_json_bool(struct crn_json value)
{
    return at(value).is_true();
}

extern "C" int64_t crn_json_i64(struct crn_json value)
{
    return at(value).is_int64() ? at(value).next_tape_value<int64_t>() : 0;
}

extern "C" uint64_t crn_json_u64(struct crn_json value)
{
    const tape_ref ref = at(value);

    return ref.is_int64() || ref.is_uint64() ? ref.next_tape_value<uint64_t>() : 0;
}

extern "C" double crn_json_double(struct crn_json value)
{
    const tape_ref ref = at(value);

    if (ref.is_double()) return ref.next_tape_value<double>();
    if (ref.is_int64()) return static_cast<double>(ref.next_tape_value<int64_t>());
    return static_cast<double>(crn_json_u64(value));
}

extern "C" bool crn_json_is_number(struct crn_json value)
{
    const tape_ref ref = at(value);

    return ref.is_double() || ref.is_int64() || ref.is_uint64();
}

extern "C" const char *crn_json_string(struct crn_json value, size_t *out_len)
{
    const tape_ref ref = at(value);
    const bool is_string = ref.tape_ref_type() == tape_type::STRING;

    *out_len = is_string ? ref.get_string_length() : 0;
    return is_string ? ref.get_c_str() : "";
}

extern "C" void crn_json_iter_init(struct crn_json_iter *it, struct crn_json value)
{
    const tape_ref ref = at(value);
    const tape_type type = ref.tape_ref_type();
    const bool container = type == tape_type::START_ARRAY || type == tape_type::START_OBJECT;

    it->doc = value.doc;
    it->at = value.index + 1;
    it->end = container ? ref.matching_brace_index() - 1 : it->at; // that index is behind the closing word
    it->object = type == tape_type::START_OBJECT;
}

extern "C" bool crn_json_iter_next(struct crn_json_iter *it, struct crn_json *out, const char **out_key,
                                   size_t *out_key_len)
{
    if (it->at >= it->end) return false;

    *out_key = nullptr;
    *out_key_len = 0;
    if (it->object) {
        *out_key = crn_json_string(crn_json{it->doc, it->at}, out_key_len);
        it->at++;
    }
    *out = crn_json{it->doc, it->at};
    it->at = at(*out).after_element();
    return true;
}

extern "C" size_t crn_json_size(struct crn_json value)
{
    struct crn_json_iter it;
    struct crn_json element;
    const char *key;
    size_t key_len, count = 0;

    crn_json_iter_init(&it, value);
    if (it.at >= it.end) return 0;
    const uint32_t told = at(value).scope_count(); // 24 bits, all set when there are more
    if (told < simdjson::internal::JSON_COUNT_MASK) return told;
    while (crn_json_iter_next(&it, &element, &key, &key_len)) count++;
    return count;
}

extern "C" bool crn_json_get_n(struct crn_json object, const char *key, size_t key_len, struct crn_json *out)
{
    struct crn_json_iter it;
    struct crn_json member;
    const char *name;
    size_t name_len;

    crn_json_iter_init(&it, object);
    while (it.object && crn_json_iter_next(&it, &member, &name, &name_len)) {
        if (name_len == key_len && std::memcmp(name, key, key_len) == 0) {
            *out = member;
            return true;
        }
    }
    return false;
}

extern "C" bool crn_json_get(struct crn_json object, const char *key, struct crn_json *out)
{
    return crn_json_get_n(object, key, std::strlen(key), out);
}

// The tape's words themselves: elements of a vector are by far the most values that are read.
extern "C" bool crn_json_floats(struct crn_json array, float *out, size_t max, size_t *out_count)
{
    const uint64_t *tape = static_cast<const document *>(array.doc)->tape.get();
    struct crn_json_iter it;
    size_t count = 0;

    *out_count = 0;
    if (crn_json_type(array) != CRN_JSON_ARRAY) return false;
    crn_json_iter_init(&it, array);
    for (size_t word = it.at; word < it.end; word += 2, count++) { // a number is two words
        const tape_type type = static_cast<tape_type>(tape[word] >> 56);
        double value;
        if (type == tape_type::DOUBLE)
            std::memcpy(&value, &tape[word + 1], sizeof value);
        else if (type == tape_type::INT64)
            value = static_cast<double>(static_cast<int64_t>(tape[word + 1]));
        else if (type == tape_type::UINT64)
            value = static_cast<double>(tape[word + 1]);
        else
            break;
        if (count < max) out[count] = static_cast<float>(value);
    }
    *out_count = count;
    return it.at + 2 * count >= it.end;
}

template <typename Integer> static void write_integer(Integer value, struct crn_buf *buf)
{
    char text[24];
    const char *end = std::to_chars(text, text + sizeof text, value).ptr;

    crn_buf_append(buf, text, static_cast<size_t>(end - text));
}

static void write_value(struct crn_json value, struct crn_buf *buf);

// Recursion ends: the parser let no more than CRN_JSON_DEPTH_MAX levels in.
static void write_container(struct crn_json value, struct crn_buf *buf)
{
    struct crn_json_iter it;
    struct crn_json member;
    const char *key;
    size_t key_len;
    const char *separator = "";

    crn_json_iter_init(&it, value);
    crn_buf_putc(buf, it.object ? '{' : '[');
    while (buf->failed == CAIRN_OK && crn_json_iter_next(&it, &member, &key, &key_len)) {
        crn_buf_puts(buf, separator);
        separator = ",";
        if (key != nullptr) {
            crn_buf_json_string(buf, key, key_len);
            crn_buf_putc(buf, ':');
        }
        write_value(member, buf);
    }
    crn_buf_putc(buf, it.object ? '}' : ']');
}

static void write_value(struct crn_json value, struct crn_buf *buf)
{
    switch (crn_json_type(value)) {
    case CRN_JSON_NULL:
        crn_buf_puts(buf, "null");
        break;
    case CRN_JSON_BOOL:
        crn_buf_puts(buf, crn_json_bool(value) ? "true" : "false");
        break;
    case CRN_JSON_I64:
        write_integer(crn_json_i64(value), buf);
        break;
    case CRN_JSON_U64:
        write_integer(crn_json_u64(value), buf);
        break;
    case CRN_JSON_DOUBLE:
        crn_buf_json_double(buf, crn_json_double(value));
        break;
    case CRN_JSON_STRING: {
        size_t len;
        const char *text = crn_json_string(value, &len);
        crn_buf_json_string(buf, text, len);
        break;
    }
    case CRN_JSON_ARRAY:
    case CRN_JSON_OBJECT:
        write_container(value, buf);
        break;
    }
}

extern "C" cairn_status crn_json_write(struct crn_json value, struct crn_buf *buf)
{
    write_value(value, buf);
    return buf->failed;
}
