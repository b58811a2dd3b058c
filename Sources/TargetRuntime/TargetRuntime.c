// One translation unit, so that the section holds all of the runtime and the linker has nothing to
// resolve in it. The order of the files is the order in which they build on each other.
#define _GNU_SOURCE
#include "TargetRuntime.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

// --- Code that is copied into targets ---

#pragma clang section text = "fsession_runtime"
// Loops must not become calls of memcpy and its like.
#pragma clang attribute push(__attribute__((no_builtin)), apply_to = function)
#pragma clang attribute push(__attribute__((no_stack_protector)), apply_to = function)
// Tests may be built with coverage or sanitizers: not this code.
#pragma clang attribute push(__attribute__((no_profile_instrument_function)), apply_to = function)
#pragma clang attribute push(__attribute__((disable_sanitizer_instrumentation)), apply_to = function)
#if defined(__x86_64__)
#pragma clang attribute push(__attribute__((target("general-regs-only"))), apply_to = function)
#elif defined(__aarch64__)
#pragma clang attribute push(__attribute__((target("+nofp"))), apply_to = function)
#endif

#include "basics.h"

#include "state.h"

#include "memory.h"

#include "values.h"

#include "nodes.h"

#include "hash.h"

#include "queue.h"

#include "ring.h"

#include "stacktrace.h"

#include "print.h"

#include "helpers.h"

#include "native.h"

#include "lanes.h"

#pragma clang attribute pop
#pragma clang attribute pop
#pragma clang attribute pop
#pragma clang attribute pop
#pragma clang attribute pop
#pragma clang section text = ""

// --- Code that stays with the controller ---

#include "table.h"

#include "shape.h"

#include "view.h"

#include "reader.h"
