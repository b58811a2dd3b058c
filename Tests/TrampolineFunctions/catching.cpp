#include "TrampolineFunctions.h"

extern "C" int t_throw(int value);

namespace {
struct Guard {
    int *count;
    ~Guard() { ++*count; }
};
}

extern "C" int call_throw(int value) {
    int destroyed = 0;
    try {
        Guard guard{&destroyed};
        return t_throw(value);
    } catch (int error) {
        return destroyed == 1 ? -error : 1000;
    }
}
