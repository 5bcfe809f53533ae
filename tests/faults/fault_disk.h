/*
 * A disk that can lose power: for each file what is durable, and the list of what was done since, in order. A
 * power cut lets some of the list survive, in whole sectors or parts of them, and drops the rest.
 *
 * The files themselves hold the newest state all the time (whoever reads them sees what the running system
 * would see); what would be left of them stands in memory only, until fault_disk_put_back writes it over
 * them.
 *
 * The model: a sync of a file makes its content, its size and its existence durable; a sync of the folder
 * makes durable which files exist. A write survives by granules of 512 or 4096 bytes; bytes outside a write
 * are not harmed by it. Nothing here is locked: fault_vfs.c calls it under its own mutex.
 */
#ifndef CRN_TESTS_FAULTS_FAULT_DISK_H
#define CRN_TESTS_FAULTS_FAULT_DISK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct fault_disk_file; /* lives until fault_disk_clear */

/* The file of that path; when it is new here, what is on the real disk now is durable. */
struct fault_disk_file *fault_disk_find(const char *path);

void fault_disk_created(
    struct fault_disk_file *file); /* it was opened to be made: recorded when it was not there */
void fault_disk_written(struct fault_disk_file *file, const void *data, size_t size, uint64_t offset);
void fault_disk_truncated(struct fault_disk_file *file, uint64_t size);
void fault_disk_deleted(struct fault_disk_file *file);
void fault_disk_synced(struct fault_disk_file *file);
void fault_disk_folder_synced(void); /* all files lie in one folder */

void fault_disk_cut(uint64_t seed); /* decides what survives */
void fault_disk_put_back(void);     /* makes the real files what survived, and removes their -shm */
void fault_disk_clear(void);        /* forgets everything; the real files stay as they are */

#endif
