// Floats as JSON text, shortest-round-trip. C++, because std::to_chars is five times as fast as "%.9g" and C
// has nothing like it. Plain notation where people expect it, an exponent for what is very large or small.
extern "C" {
#include "base/buf.h"
}

#include <charconv>
#include <cmath>
#include <cstring>

// Plain notation ends about where the last digit before the point is no longer significant.
template <typename Float> static constexpr Float PLAIN_BELOW = sizeof(Float) == sizeof(float) ? 1e8 : 1e16;
template <typename Float> static constexpr Float PLAIN_FROM = 1e-4;

template <typename Float> static cairn_status append(struct crn_buf *buf, Float value)
{
    if (!std::isfinite(value)) return crn_buf_puts(buf, "null");

    char text[40]; // the longest is 24 characters: sign, 17 digits, point, "e-308"
    const Float size = std::fabs(value);
    const bool plain = size == 0 || (size >= PLAIN_FROM<Float> && size < PLAIN_BELOW<Float>);
    const auto format = plain ? std::chars_format::fixed : std::chars_format::scientific;
    char *end = std::to_chars(text, text + sizeof text, value, format).ptr;

    if (plain && std::memchr(text, '.', static_cast<size_t>(end - text)) == nullptr) {
        *end++ = '.'; // "1.0": what was a float reads back as one
        *end++ = '0';
    }
    return crn_buf_append(buf, text, static_cast<size_t>(end - text));
}

cairn_status crn_buf_json_float(struct crn_buf *buf, float value)
{
    // Readers of JSON round a number to a double and the double to a float. A trial of all 2^32 floats found
    // one, and its negative, that becomes its neighbour so: it gets the digits of a double.
    if (std::fabs(value) == 7.038531e-26f) return append(buf, static_cast<double>(value));
    return append(buf, value);
}

cairn_status crn_buf_json_double(struct crn_buf *buf, double value)
{
    return append(buf, value);
}
