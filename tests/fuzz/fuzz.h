/*
 * What every fuzzer shares. A fuzzer is one file, fuzz_NAME.c, that defines
 * LLVMFuzzerTestOneInput(): it feeds the bytes to one parser and checks with FUZZ_CHECK() what must
 * hold for any input. Linked with libFuzzer (--enable-fuzzing) or with replay.c.
 */
#ifndef TESTS_FUZZ_H
#define TESTS_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "base/log.h"

/* Called with each input; returns 0. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define FUZZ_CHECK(condition)                                                                      \
	do {                                                                                       \
		if (!(condition))                                                                  \
			panic("%s:%d: not so: %s", __FILE__, __LINE__, #condition);                \
	} while (0)

#endif
