import FSession
import Foundation
import TestSupport
import Testing

@Suite("A launched command's surroundings")
struct CommandTests {
    /// Runs a command in a session; what it wrote to its output.
    private func output(
        _ command: Session.Command, to stream: WritableKeyPath<Session.Command, Session.Command.Stream> = \.output
    ) async throws -> String {
        let path = TemporaryFiles.path()
        #expect(FileManager.default.createFile(atPath: path, contents: nil))
        let file = try #require(FileHandle(forWritingAtPath: path))
        var command = command
        command[keyPath: stream] = .descriptor(file.fileDescriptor)
        let session = try await Session(.command(command))
        try await session.resume()
        #expect(await session.exitStatus() == .exited(0))
        try await session.detach()
        // It stays open here.
        try file.close()
        return try String(contentsOfFile: path, encoding: .utf8)
    }

    @Test("environment and working directory are those that were given, and nothing of ours is left")
    func surroundings() async throws {
        var command = Session.Command("env")
        command.environment = ["ONE": "1", "EMPTY": "", "TEXT": "a=b c\nd"]
        #expect(try await output(command) == "EMPTY=\nONE=1\nTEXT=a=b c\nd\n")
        command = Session.Command("pwd", ["-P"])
        command.directory = "/usr/share"
        #expect(try await output(command) == "/usr/share\n")
        // A path counts from the directory.
        command = Session.Command("./sh", ["-c", "pwd -P; echo $HOME"])
        command.directory = "/bin/."
        #expect(try await output(command).hasSuffix("/bin\n\(ProcessInfo.processInfo.environment["HOME"] ?? "")\n"))
    }

    @Test("input, output and errors go where they should, and /dev/null takes and gives nothing")
    func streams() async throws {
        let path = TemporaryFiles.path()
        try Data("what is read\n".utf8).write(to: URL(fileURLWithPath: path))
        let file = try #require(FileHandle(forReadingAtPath: path))
        var command = Session.Command("cat")
        command.input = .descriptor(file.fileDescriptor)
        #expect(try await output(command) == "what is read\n")
        command.input = .null
        #expect(try await output(command) == "")
        command = Session.Command("sh", ["-c", "echo here; echo there >&2"])
        command.error = .null
        #expect(try await output(command) == "here\n")
        command.output = .null
        #expect(try await output(command, to: \.error) == "there\n")
    }

    @Test("what cannot be is told: no such directory, a closed descriptor, no name of a variable")
    func mistakes() async throws {
        func failure(_ change: (inout Session.Command) -> Void) async -> String {
            var command = Session.Command("true")
            change(&command)
            do {
                let session = try await Session(.command(command))
                try await session.detach()
                return "nothing"
            } catch {
                return "\(error)"
            }
        }
        #expect(await failure { $0.directory = "/nonexistent" }.contains("/nonexistent"))
        #expect(await failure { $0.output = .descriptor(98_765) }.contains("redirection of descriptor 1"))
        #expect(await failure { $0.environment = ["A=B": "c"] }.contains("'A=B' is no name of an environment variable"))
        #expect(await failure { $0.environment = ["": "c"] }.contains("is no name of an environment variable"))
        #expect(await failure { _ in } == "nothing")
    }
}
