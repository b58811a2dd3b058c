#define MULTIARCH_FOLDER "aarch64-linux-gnu"
#define SYSTEM_CALL_PREFIX "__arm64_sys_"
