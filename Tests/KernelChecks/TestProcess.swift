import Glibc
import Synchronization

/// A process that calls its functions when it is told to. It ends with the one that started it.
final class TestProcess: Sendable {
    let id: Int32
    private let input: Int32
    private let output: Int32
    /// One question at a time.
    private let asking = Mutex<Void>(())

    init(_ path: String) throws {
        var toProcess: [Int32] = [0, 0]
        var fromProcess: [Int32] = [0, 0]
        guard pipe(&toProcess) == 0, pipe(&fromProcess) == 0 else { throw Failure("no pipe") }
        for end in toProcess + fromProcess { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_adddup2(&actions, toProcess[0], STDIN_FILENO)
        posix_spawn_file_actions_adddup2(&actions, fromProcess[1], STDOUT_FILENO)
        var child: pid_t = 0
        let name = strdup(path)
        defer { free(name) }
        let result = posix_spawn(&child, path, &actions, nil, [name, nil], environ)
        guard result == 0 else { throw Failure("\(path) cannot be started: errno \(result)") }
        close(toProcess[0])
        close(fromProcess[1])
        id = child
        input = toProcess[1]
        output = fromProcess[0]
        guard try line() == "ready" else { throw Failure("\(path) is not ready") }
    }

    /// Lets it do something; its answer.
    func ask(_ command: String) throws -> UInt32 {
        try asking.withLock { _ in
            let bytes = Array("\(command)\n".utf8)
            guard write(input, bytes, bytes.count) == bytes.count else { throw Failure("the process takes no commands any more") }
            guard let answer = UInt32(try line()) else { throw Failure("the process has no answer to \(command)") }
            return answer
        }
    }

    private func line() throws -> String {
        var bytes: [UInt8] = []
        var byte: UInt8 = 0
        while read(output, &byte, 1) == 1 {
            if byte == 10 { return String(decoding: bytes, as: UTF8.self) }
            bytes.append(byte)
        }
        throw Failure("the process has ended")
    }
}
