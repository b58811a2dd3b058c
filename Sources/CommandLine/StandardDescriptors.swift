import Glibc

/// Descriptors 0, 1 and 2 that are closed when fsession starts.
///
/// The next file that is opened would get such a number: what is meant for stderr would be written into it. So the numbers
/// are taken, by files that refuse what the descriptor is for: reading from stdin and writing to the others fails as it
/// does where they are closed. A launched command finds them closed.
enum StandardDescriptors {
    static func take() {
        for number in [STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO] where fcntl(number, F_GETFD) < 0 && errno == EBADF {
            // All below are open, so it gets this number.
            _ = open("/dev/null", (number == STDIN_FILENO ? O_WRONLY : O_RDONLY) | O_CLOEXEC)
        }
    }
}
