import Foundation

/// A process that a test talks with, line by line; killed and reaped at the end.
package class Child {
    private let process = Process()
    private let output = Pipe()
    private let input = Pipe()
    private var unread: [UInt8] = []

    package var pid: Int32 { process.processIdentifier }
    package var isRunning: Bool { process.isRunning }

    /// - Parameter program: its path, or its name, which is looked for in PATH.
    package init(_ program: String, _ arguments: [String] = []) throws {
        process.executableURL = URL(fileURLWithPath: program.hasPrefix("/") ? program : "/usr/bin/env")
        process.arguments = program.hasPrefix("/") ? arguments : [program] + arguments
        process.standardOutput = output
        process.standardInput = input
        try process.runUnblocked()
    }

    deinit {
        if process.isRunning { kill(process.processIdentifier, SIGKILL) }
        process.waitUntilExit()
    }

    package func write(_ text: String) { input.fileHandleForWriting.write(Data(text.utf8)) }

    package func closeInput() { try? input.fileHandleForWriting.close() }

    /// - Parameter patience: in milliseconds.
    package func readLine(patience: Int32 = 30_000) throws -> String {
        let descriptor = output.fileHandleForReading.fileDescriptor
        while true {
            if let end = unread.firstIndex(of: 10) {
                defer { unread.removeSubrange(...end) }
                return String(decoding: unread[..<end], as: UTF8.self)
            }
            var wait = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
            guard poll(&wait, 1, patience) > 0 else { throw Trouble("process \(pid) does not answer") }
            var bytes = [UInt8](repeating: 0, count: 4096)
            let count = read(descriptor, &bytes, bytes.count)
            guard count > 0 else { throw Trouble("process \(pid) has ended") }
            unread += bytes[..<count]
        }
    }

    /// How it ended: its status, or 128 and the signal. Killed where it does not end.
    package func waitForEnd() -> Int32 {
        if !eventually({ !process.isRunning }) { kill(pid, SIGKILL) }
        process.waitUntilExit()
        return process.terminationStatus + (process.terminationReason == .exit ? 0 : 128)
    }
}

/// A running target that does a line's work for each line that it gets.
package final class DrivenProcess: Child {
    package override init(_ path: String, _ arguments: [String] = []) throws {
        try super.init(path, arguments)
        guard try readLine() == "ready" else { throw Trouble("\(path) does not say that it is ready") }
    }

    /// Lets it do something and returns its answer.
    package func ask(_ line: String) throws -> String {
        send(line)
        return try readLine()
    }

    /// Tells it to do something; its answer is read later, by ``readLine(patience:)``.
    package func send(_ line: String) { write("\(line)\n") }

    /// Tells it to end, and how it did.
    package func end(_ line: String) -> Int32 {
        send(line)
        return waitForEnd()
    }
}
