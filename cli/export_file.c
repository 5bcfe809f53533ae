/* Files that appear whole. */
#include "cli/export_file.h"

#include "base/error.h"
#include "base/mem.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

static char *join(const char *a, const char *b)
{
    size_t size = strlen(a) + strlen(b) + 1;
    char *text = crn_mem_alloc(size);

    if (text != NULL) snprintf(text, size, "%s%s", a, b);
    return text;
}

cairn_status crn_cli_export_file_open(struct crn_cli_export_file *file, const char *path, const char *suffix,
                                      bool replace, cairn_error *err)
{
    *file = (struct crn_cli_export_file){.path = join(path, suffix)};
    if (file->path == NULL) return crn_error_no_memory(err, strlen(path));
    file->aside = join(file->path, ".partial");
    if (file->aside == NULL) return crn_error_no_memory(err, strlen(path));
    if (!replace && access(file->path, F_OK) == 0) {
        return crn_error_set(err, CAIRN_EXISTS, "%s is there already; --force replaces it", file->path);
    }
    file->file = fopen(file->aside, "we");
    return file->file != NULL ? CAIRN_OK : crn_error_errno(err, errno, "cannot write", file->aside);
}

cairn_status crn_cli_export_file_finish(struct crn_cli_export_file *file, cairn_error *err)
{
    bool failed = fflush(file->file) != 0 || ferror(file->file) || fsync(fileno(file->file)) != 0;

    if (fclose(file->file) != 0) failed = true;
    file->file = NULL;
    if (failed || rename(file->aside, file->path) != 0) {
        cairn_status status = crn_error_errno(err, errno, "cannot write", file->path);
        unlink(file->aside);
        return status;
    }
    return CAIRN_OK;
}

void crn_cli_export_file_release(struct crn_cli_export_file *file)
{
    if (file->file != NULL) {
        fclose(file->file);
        unlink(file->aside);
    }
    crn_mem_free(file->path);
    crn_mem_free(file->aside);
    *file = (struct crn_cli_export_file){0};
}
