/*
 * System calls that fail on demand, for programs that are linked with the wrappers of faults.c.
 */
#ifndef FAULTS_H
#define FAULTS_H

#include <stdbool.h>

/* What fails from now on, as CRYPRQ_FAULTS says it (faults.c); NULL or "": nothing. No other thread
 * may be making calls. */
void faults_set(const char *text);

/* Whether the CPU is to be one without AES instructions. */
bool faults_hide_aes(void);

#endif
