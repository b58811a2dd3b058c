#include "TrampolineFunctions.h"

extern "C" int t_throw(int value) {
    if (value > 3) throw value;
    return value;
}
