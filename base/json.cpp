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

#include <algorithm>
#include <charconv>
#include <cstring>
#include <endian.h>
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
    if (parser->simd.allocate(capacity, CRN_JSON_DEPTH_MAX + 1) != simdjson::SUCCESS || // it counts the root
        parser->simd.doc.allocate(capacity) != simdjson::SUCCESS) {
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

// ---- many numbers ----

// simdjson's second stage reads a number digit by digit, and which digit is the last is guessed wrong for most. Here the text's structure
// tells where a number ends, and up to sixteen digits behind the point are read at once. So a text that is mostly numbers goes through
// the builder below, which makes the same tape in 0.57 of the time (100 vectors of 384 numbers, 0.84 and 0.48 ms), or gives up: then
// simdjson's own stage makes it, or tells what is wrong.

static constexpr size_t NUMBERS_MIN = 1024; // places in the text's structure; a number and its comma are two
static constexpr size_t NUMBERS_SPACING_MAX =
    16; // bytes from one place to the next, on average: beyond that most is text

static const double powers_of_ten[] = {1e0, 1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7, 1e8,
                                       1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16};
static const uint64_t integer_powers[] = {UINT64_C(1),
                                          UINT64_C(10),
                                          UINT64_C(100),
                                          UINT64_C(1000),
                                          UINT64_C(10000),
                                          UINT64_C(100000),
                                          UINT64_C(1000000),
                                          UINT64_C(10000000),
                                          UINT64_C(100000000),
                                          UINT64_C(1000000000),
                                          UINT64_C(10000000000),
                                          UINT64_C(100000000000),
                                          UINT64_C(1000000000000),
                                          UINT64_C(10000000000000),
                                          UINT64_C(100000000000000),
                                          UINT64_C(1000000000000000),
                                          UINT64_C(10000000000000000)};

static bool is_digit(uint8_t c)
{
    return c >= '0' && c <= '9';
}

// A digit or a sign (or what lies between them, which number() refuses): one comparison, because nothing foretells signs.
static bool may_begin_number(uint8_t c)
{
    return static_cast<uint8_t>(c - '-') <= '9' - '-';
}

// The last `count` (0 to 8) of the eight characters before `end`, as a number; *all false when one of them is no digit.
// Sums of neighbours, then of pairs, then of fours (D. Lemire, "Quickly parsing eight digits", 2018).
static inline uint64_t last_digits(const uint8_t *end, unsigned count, bool *all)
{
    uint64_t word;

    std::memcpy(&word, end - 8, sizeof word);
    word = le64toh(word); // the first character is the lowest byte
    const uint64_t mask = ~(~uint64_t(0) >> (4 * count) >> (4 * count)); // a shift by 64 is none
    const uint64_t zeros = 0x3030303030303030u;
    word = (word & mask) | (zeros & ~mask);
    *all &= ((word & 0xF0F0F0F0F0F0F0F0u) | (((word + 0x0606060606060606u) & 0xF0F0F0F0F0F0F0F0u) >> 4)) ==
            0x3333333333333333u;
    word -= zeros;
    word = (word * 10 + (word >> 8)) & 0x00FF00FF00FF00FFu;
    return (((word & 0x000000FF000000FFu) * 0x000F424000000064u) +
            (((word >> 16) & 0x000000FF000000FFu) * 0x0000271000000001u)) >>
           32;
}

// "-d.ddd" with up to 16 digits behind the point, and no more in all than a double holds: exact by one division. There are no branches
// that depend on the sign or the number of digits, because nothing foretells those. Reads up to 16 bytes before the text.
static inline bool read_fraction(const uint8_t *text, const uint8_t *end, double *out)
{
    const uint64_t negative = *text == '-';
    text += negative;
    const size_t digits = static_cast<size_t>(end - text) - 2;
    bool all = is_digit(text[0]) && text[1] == '.';

    if (end - text < 3 || digits > 16) return false;
    const unsigned low = static_cast<unsigned>(std::min(digits, size_t(8))),
                   high = static_cast<unsigned>(digits) - low;
    const uint64_t below = last_digits(end, low, &all), above = last_digits(end - 8, high, &all);
    const int64_t whole =
        static_cast<int64_t>((text[0] - uint64_t('0')) * integer_powers[digits] + above * 100000000u + below);
    const double value = static_cast<double>(whole) / powers_of_ten[digits];
    uint64_t bits;
    std::memcpy(&bits, &value, sizeof bits);
    bits |= negative << 63;
    std::memcpy(out, &bits, sizeof bits);
    return all && whole <= int64_t(1) << 53;
}

// RFC 8259's grammar.
static bool is_number(const uint8_t *at, const uint8_t *end, bool *out_integer)
{
    *out_integer = true;
    if (at < end && *at == '-') at++;
    if (at == end || !is_digit(*at)) return false;
    if (*at++ != '0') {
        while (at < end && is_digit(*at)) at++;
    }
    if (at < end && *at == '.') {
        *out_integer = false;
        if (++at == end || !is_digit(*at)) return false;
        while (at < end && is_digit(*at)) at++;
    }
    if (at < end && (*at == 'e' || *at == 'E')) {
        *out_integer = false;
        if (++at < end && (*at == '+' || *at == '-')) at++;
        if (at == end || !is_digit(*at)) return false;
        while (at < end && is_digit(*at)) at++;
    }
    return at == end;
}

namespace
{

struct tape_builder {
    const uint8_t *text;
    const uint32_t *next; // places of the structure; behind the last one stands the text's length
    uint64_t *tape;
    uint8_t *strings;
    const simdjson::internal::dom_parser_implementation *simd;
    size_t at = 1;       // on the tape
    uint8_t *string_end; // in strings
    unsigned depth = 0;
    struct {
        size_t begin;
        uint32_t count;
        bool object;
    } open[CRN_JSON_DEPTH_MAX + 1];

    uint8_t peek() const
    {
        return text[*next];
    }
    void put(char type, uint64_t payload)
    {
        tape[at++] = payload | static_cast<uint64_t>(type) << 56;
    }
    bool number();
    bool numbers();
    bool string();
    bool literal(const char *word, size_t length);
    bool begin(char type);
    void close();
    bool scalar();
    bool build(const uint32_t *end);
};

bool tape_builder::number()
{
    const uint8_t *begin = text + *next++, *end = text + *next;
    bool integer;
    double value;

    while (end[-1] == ' ' || end[-1] == '\n' || end[-1] == '\r' || end[-1] == '\t')
        end--; // a number is before that
    if (begin - text < 16 || !read_fraction(begin, end, &value)) {
        if (!is_number(begin, end, &integer)) return false;
        const char *first = reinterpret_cast<const char *>(begin),
                   *last = reinterpret_cast<const char *>(end);
        if (integer) {
            int64_t exact;
            if (std::from_chars(first, last, exact).ec != std::errc()) return false;
            put('l', 0);
            std::memcpy(&tape[at++], &exact, sizeof exact);
            return true;
        }
        if (std::from_chars(first, last, value).ec != std::errc()) return false;
    }
    put('d', 0);
    std::memcpy(&tape[at++], &value, sizeof value);
    return true;
}

// An array's elements up to its end, or to one that is no number.
bool tape_builder::numbers()
{
    uint32_t count = 1; // this one was counted

    if (!number()) return false;
    for (; peek() == ',' && may_begin_number(text[next[1]]); count++) {
        next++;
        if (!number()) return false;
    }
    open[depth - 1].count += count - 1;
    return true;
}

bool tape_builder::string()
{
    const uint8_t *begin = text + *next++ + 1;
    uint8_t *to = string_end + sizeof(uint32_t);
#if SIMDJSON_VERSION_MAJOR > 3 || (SIMDJSON_VERSION_MAJOR == 3 && SIMDJSON_VERSION_MINOR >= 2)
    uint8_t *end = simd->parse_string(begin, to, false);
#else
    uint8_t *end = simd->parse_string(begin, to);
#endif

    if (end == nullptr) return false;
    put('"', static_cast<uint64_t>(string_end - strings));
    const uint32_t length = static_cast<uint32_t>(end - to);
    std::memcpy(string_end, &length, sizeof length);
    *end = 0;
    string_end = end + 1;
    return true;
}

bool tape_builder::literal(const char *word, size_t length)
{
    const uint8_t *at_word = text + *next++;
    const uint8_t after = at_word[length];

    put(word[0], 0);
    return std::memcmp(at_word, word, length) == 0 &&
           (after == '\0' || std::strchr(",]} \t\n\r", after) != nullptr);
}

bool tape_builder::scalar()
{
    switch (peek()) {
    case '"':
        return string();
    case 't':
        return literal("true", 4);
    case 'f':
        return literal("false", 5);
    case 'n':
        return literal("null", 4);
    default:
        return number();
    }
}

bool tape_builder::begin(char type)
{
    if (depth == CRN_JSON_DEPTH_MAX) return false;
    open[depth++] = {at++, 0, type == '{'};
    next++;
    return true;
}

void tape_builder::close()
{
    const auto &container = open[--depth];
    const uint64_t count = container.count < simdjson::internal::JSON_COUNT_MASK
                               ? container.count
                               : simdjson::internal::JSON_COUNT_MASK;
    put(container.object ? '}' : ']', container.begin);
    tape[container.begin] = at | count << 32 | static_cast<uint64_t>(container.object ? '{' : '[') << 56;
    next++;
}

bool tape_builder::build(const uint32_t *end)
{
    bool value_is_due = true; // else a comma, or the end of a container

    do {
        if (next >= end) return false;
        const uint8_t c = peek();
        if (depth > 0 && c == (open[depth - 1].object ? '}' : ']') &&
            (!value_is_due || open[depth - 1].count == 0)) {
            close();
            value_is_due = false;
            continue;
        }
        if (!value_is_due) {
            if (c != ',') return false;
            next++;
            value_is_due = true;
            if (peek() == (open[depth - 1].object ? '}' : ']')) return false;
            continue;
        }
        if (depth > 0) {
            open[depth - 1].count++;
            if (open[depth - 1].object) {
                if (c != '"' || !string() || peek() != ':') return false;
                next++;
            }
        }
        const uint8_t first = peek();
        if (may_begin_number(first) && depth > 0 && !open[depth - 1].object) {
            if (!numbers()) return false;
            value_is_due = false;
            continue;
        }
        value_is_due = first == '{' || first == '[';
        if (value_is_due ? !begin(static_cast<char>(first)) : !scalar()) return false;
    } while (depth > 0);
    if (next != end) return false;
    put('r', 0);
    tape[0] = at | static_cast<uint64_t>('r') << 56;
    return true;
}

} // namespace

static bool build_tape(struct crn_json_parser *parser, size_t len)
{
    auto *simd = parser->simd.implementation.get();
    const size_t count = simd->n_structural_indexes;
    tape_builder builder;

    if (count < NUMBERS_MIN || len / count > NUMBERS_SPACING_MAX) return false;
    builder.text = reinterpret_cast<const uint8_t *>(parser->padded);
    builder.next = simd->structural_indexes.get();
    builder.tape = parser->simd.doc.tape.get();
    builder.strings = builder.string_end = parser->simd.doc.string_buf.get();
    builder.simd = simd;
    return builder.build(builder.next + count);
}

// What simdjson's parse() does, with another way to do the second stage.
static simdjson::error_code parse_text(struct crn_json_parser *parser, size_t len)
{
    const uint8_t *text = reinterpret_cast<const uint8_t *>(parser->padded);
    auto *simd = parser->simd.implementation.get();

    if (len < 2 * NUMBERS_MIN || text[0] == 0xEF) // newer versions pass over a byte order mark
        return parser->simd.parse(parser->padded, len, false).error();
    const simdjson::error_code code = simd->stage1(text, len, simdjson::stage1_mode::regular);
    if (code != simdjson::SUCCESS || build_tape(parser, len)) return code;
    return simd->stage2(parser->simd.doc);
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

    const simdjson::error_code code = parse_text(parser, len);
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
