# Debian's package descriptions as records for `cairn import`, one JSON object a line. Works with mawk.
#
# Input: paragraphs as in apt's lists, first the translations (full texts, by Description-md5), then the
# packages, or dpkg's status file, which holds the full texts itself. The first paragraph of a package's name counts.

BEGIN { RS = ""; FS = "\n" }

# The value of a field in the paragraph, "" when there is none. Lines that go on with a space belong to it.
function field(name,    i, len, value) {
    len = length(name) + 1
    for (i = 1; i <= NF; i++) {
        if (substr($i, 1, len) != name ":") continue
        value = substr($i, len + 2)
        for (i++; i <= NF && substr($i, 1, 1) == " "; i++) {
            value = value "\n" ($i == " ." ? "" : substr($i, 2))
        }
        return value
    }
    return ""
}

# Text as a JSON string. Backslashes are put in by hand: awks differ in what gsub makes of several.
function json(text,    out, at) {
    while ((at = index(text, "\\")) > 0) {
        out = out substr(text, 1, at) "\\"
        text = substr(text, at + 1)
    }
    out = out text
    gsub(/"/, "\\\"", out)
    gsub(/\t/, " ", out)
    gsub(/\n/, "\\n", out)
    gsub(/[\001-\037]/, "", out)
    return "\"" out "\""
}

/(^|\n)Description-en:/ {
    full[field("Description-md5")] = field("Description-en")
    next
}

{
    name = field("Package")
    status = field("Status")
    if (name == "" || name in seen || (status != "" && status !~ / installed$/)) next
    seen[name] = 1

    description = field("Description")
    key = field("Description-md5")
    if (key in full) description = full[key]
    section = field("Section")
    domain = section
    sub(/\/.*/, "", domain)
    if (domain == "") domain = "debian"
    size = field("Size")
    if (size == "") size = field("Installed-Size") * 1024

    printf "{\"id\":%s,\"domain\":%s,\"text\":%s,", json(name), json(domain), json(name ": " description)
    printf "\"payload\":{\"section\":%s,\"priority\":%s,", json(section), json(field("Priority"))
    printf "\"size\":%d,\"version\":%s}}\n", size, json(field("Version"))
}
