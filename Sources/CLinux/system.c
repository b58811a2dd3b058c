#include "CLinuxSystem.h"

#if defined(__x86_64__)
#include "system_x86_64.h"
#elif defined(__aarch64__)
#include "system_arm64.h"
#endif

const char *clinux_multiarch_folder(void) { return MULTIARCH_FOLDER; }

const char *clinux_system_call_prefix(void) { return SYSTEM_CALL_PREFIX; }
