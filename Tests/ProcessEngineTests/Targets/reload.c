// Loads and unloads the libraries that it is given. Reads a command per line: "load N" answers with where `plug` is,
// "call" with what plug(5) gives, "unload" with 0 when it worked, "end" ends.
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int main(int count, char **libraries) {
    void *library = count > 1 ? dlopen(libraries[1], RTLD_NOW) : NULL;
    char line[64];

    setvbuf(stdout, NULL, _IOLBF, 0);
    if (!library) {
        puts(dlerror());
        return 1;
    }
    puts("ready");
    while (fgets(line, sizeof line, stdin) && strcmp(line, "end\n")) {
        if (strncmp(line, "load ", 5) == 0) {
            int number = atoi(line + 5);
            library = number > 0 && number < count ? dlopen(libraries[number], RTLD_NOW) : NULL;
            printf("%p\n", library ? dlsym(library, "plug") : NULL);
        } else if (strcmp(line, "unload\n") == 0) {
            printf("%d\n", dlclose(library));
        } else if (strcmp(line, "call\n") == 0) {
            long (*plug)(long) = (long (*)(long))dlsym(library, "plug");
            printf("%ld\n", plug ? plug(5) : -1);
        }
    }
    return 0;
}
