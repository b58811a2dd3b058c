#define MULTIARCH_FOLDER "x86_64-linux-gnu"
#define SYSTEM_CALL_PREFIX "__x64_sys_"
