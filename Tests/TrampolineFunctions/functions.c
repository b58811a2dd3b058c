#include "TrampolineFunctions.h"
