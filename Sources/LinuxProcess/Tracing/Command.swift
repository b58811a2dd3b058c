import CLinux
import Glibc

/// A command to launch.
package struct Command: Sendable {
    /// A path, or a name that is looked for in PATH.
    package var name: String
    /// Without the name.
    package var arguments: [String]
    /// "KEY=VALUE"; nil: that of this process.
    package var environment: [String]?
    /// nil: that of this process.
    package var workingDirectory: String?
    /// Descriptors for 0, 1 and 2; nil: those of this process. They stay open here.
    package var standardInput: Int32?
    package var standardOutput: Int32?
    package var standardError: Int32?

    package init(
        _ name: String, arguments: [String] = [], environment: [String]? = nil, workingDirectory: String? = nil,
        standardInput: Int32? = nil, standardOutput: Int32? = nil, standardError: Int32? = nil
    ) {
        self.name = name
        self.arguments = arguments
        self.environment = environment
        self.workingDirectory = workingDirectory
        self.standardInput = standardInput
        self.standardOutput = standardOutput
        self.standardError = standardError
    }

    /// The files that execvp would try, in order.
    var candidates: [String] {
        if name.isEmpty || name.utf8.contains(UInt8(ascii: "/")) { return [name] }
        let path = getenv("PATH").map { String(cString: $0) } ?? "/bin:/usr/bin"
        return path.split(separator: ":", omittingEmptySubsequences: false).map { $0.isEmpty ? name : "\($0)/\(name)" }
    }

    /// Forks a child that waits to be let go (`clinux_spawn_go`).
    func fork() throws(ProcessError) -> (pid: pid_t, go: Int32, failure: Int32) {
        let all = candidates + [name] + arguments + (environment ?? []) + [workingDirectory ?? ""]
        guard !all.contains(where: { $0.utf8.contains(0) }) else {
            throw .cannotLaunch(operation: "the command line holds a NUL", error: EINVAL)
        }
        guard !name.isEmpty else { throw .cannotExecute(path: "an empty name", error: ENOENT, detail: "") }
        let paths = CStrings(candidates)
        let values = CStrings([name] + arguments)
        let shell = CStrings(["/bin/sh", ""] + arguments)
        let variables = environment.map { CStrings($0) }
        let directory = CStrings([workingDirectory ?? ""])
        var go: Int32 = -1
        var failure: Int32 = -1
        // Replaced in the child only, whose memory is a copy.
        var spawn = clinux_spawn()
        spawn.arguments = UnsafePointer(values.pointers)
        spawn.shell_arguments = shell.pointers
        spawn.environment = variables.map { UnsafePointer($0.pointers) }
        spawn.directory = workingDirectory == nil ? nil : UnsafePointer(directory.pointers[0])
        spawn.standard = (standardInput ?? -1, standardOutput ?? -1, standardError ?? -1)
        let pid = paths.pointers.withMemoryRebound(to: UnsafePointer<CChar>?.self, capacity: paths.count + 1) {
            spawn.paths = UnsafePointer($0)
            return clinux_spawn(&spawn, &go, &failure)
        }
        withExtendedLifetime((paths, values, shell, variables, directory)) {}
        guard pid > 0 else { throw .cannotLaunch(operation: "fork", error: -pid) }
        return (pid, go, failure)
    }

    /// Says what exec's errno means for this command.
    func error(_ failure: clinux_spawn_failure) -> ProcessError {
        switch failure.stage {
        case Int32(clinux_spawn_stage_directory.rawValue):
            return .workingDirectory(path: workingDirectory ?? "", error: failure.error)
        case Int32(clinux_spawn_stage_descriptor.rawValue):
            return .cannotLaunch(operation: "redirection of descriptor \(failure.path)", error: failure.error)
        default: break
        }
        let files = candidates
        let index = Int(failure.path)
        let path = files.indices.contains(index) ? files[index] : name
        switch failure.error {
        case ENOENT, ENOTDIR:
            // There may be a file whose interpreter is missing.
            for path in files where resolved(path, access: F_OK) {
                return .cannotExecute(path: path, error: ENOENT, detail: interpreterDetail(path))
            }
            if !name.utf8.contains(UInt8(ascii: "/")) { return .commandNotFound(name: name) }
            return .cannotExecute(path: path, error: failure.error, detail: "")
        case EACCES:
            var information = stat()
            if stat(absolute(path), &information) == 0 {
                if information.st_mode & S_IFMT == S_IFDIR {
                    return .cannotExecute(path: path, error: EACCES, detail: "it is a folder")
                }
                if information.st_mode & 0o111 == 0 {
                    return .cannotExecute(
                        path: path, error: EACCES, detail: "the file is not executable; chmod +x makes it so")
                }
            }
            return .cannotExecute(path: path, error: EACCES, detail: "")
        case ENOEXEC:
            return .cannotExecute(path: path, error: ENOEXEC, detail: "it is no program of this machine and no script")
        default:
            return .cannotExecute(path: path, error: failure.error, detail: "")
        }
    }

    private func absolute(_ path: String) -> String {
        guard let workingDirectory, !path.hasPrefix("/") else { return path }
        return workingDirectory + "/" + path
    }

    private func resolved(_ path: String, access mode: Int32) -> Bool { access(absolute(path), mode) == 0 }

    private func interpreterDetail(_ path: String) -> String {
        guard let file = try? FileDescriptor(opening: absolute(path)) else { return "its interpreter is missing" }
        var start = [UInt8](repeating: 0, count: 256)
        let count = start.withUnsafeMutableBytes { pread(file.rawValue, $0.baseAddress, $0.count, 0) }
        guard count > 2, start[0] == UInt8(ascii: "#"), start[1] == UInt8(ascii: "!") else {
            return "its interpreter (the dynamic linker) is missing"
        }
        let line = start[2..<count].prefix { $0 != UInt8(ascii: "\n") }
        let word = line.drop { $0 == UInt8(ascii: " ") }.prefix { $0 != UInt8(ascii: " ") && $0 != UInt8(ascii: "\t") }
        return "its interpreter \(String(decoding: word, as: UTF8.self)) is missing"
    }
}

/// A NULL-terminated array of C strings.
private final class CStrings {
    let pointers: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>
    let count: Int
    /// exec's caller may replace an element: what was made here is what is freed.
    private let owned: [UnsafeMutablePointer<CChar>?]

    init(_ strings: [String]) {
        owned = strings.map { strdup($0) }
        count = strings.count
        pointers = .allocate(capacity: count + 1)
        pointers.initialize(from: owned + [nil], count: count + 1)
    }

    deinit {
        owned.forEach { free($0) }
        pointers.deallocate()
    }
}
