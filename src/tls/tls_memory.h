/*
 * OpenSSL's memory.  Its records and handshakes use buffers of 16 to 21 KiB for a moment; from the
 * common heap each would leave touched pages behind, in which then something lies that never needs
 * them: 12 KiB a connection.  So they have blocks of their own.
 */
#pragma once
#include <stddef.h>

/* Once a process tree, before OpenSSL allocates anything. */
void fp_tls_memory_init(void);
