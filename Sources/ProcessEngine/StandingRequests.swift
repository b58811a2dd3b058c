import LinuxProcess
import Trampoline

/// A program and the functions it is to be linked to.
package struct LinkRequest: Sendable {
    package var program: LoadedProgram
    package var pattern: FunctionPattern
    package var cookie: UInt64

    package init(program: LoadedProgram, pattern: FunctionPattern, cookie: UInt64 = 0) {
        self.program = program
        self.pattern = pattern
        self.cookie = cookie
    }
}

/// A request that also holds for libraries that come later.
enum StandingRequest: Sendable {
    case program(LinkRequest)
    case trace(FunctionPattern)

    var pattern: FunctionPattern {
        switch self {
        case .program(let request): request.pattern
        case .trace(let pattern): pattern
        }
    }
}

/// What was asked for by pattern, for libraries that come later.
struct StandingRequests {
    private(set) var all: [StandingRequest] = []
    /// Those patterns whose module has not come yet.
    private var awaited: Set<FunctionPattern> = []

    mutating func add(_ requests: [StandingRequest]) { all += requests }

    /// Those for programs that need exits.
    var needingExits: [StandingRequest] {
        all.filter { if case .program(let request) = $0 { request.program.kind.needsReturn } else { false } }
    }

    /// Waits for the module that a pattern names, if it is not loaded but may be later; gives what to say of it. A pattern without
    /// one is a pattern for all that come later, too, but nobody can tell whether anything of it ever will.
    mutating func wait(for pattern: FunctionPattern, _ functions: inout FunctionTable) -> String? {
        guard let module = pattern.module, module.text != "exe", !functions.hasModule(module), functions.libraryNotification != nil
        else { return nil }
        awaited.insert(pattern)
        let nearest = functions.nearestModules(to: module).map { "'\($0)'" }.joined(separator: ", ")
        return "\(module.text) is not loaded; its functions are traced when it is\(nearest.isEmpty ? "" : " (or did you mean \(nearest)?)")"
    }

    /// Whether the module that a pattern waited for is among these: what is not found in it must not be missing in silence.
    mutating func noteArrival(_ pattern: FunctionPattern, among modules: Set<String>, _ functions: FunctionTable) -> Bool {
        guard awaited.contains(pattern), let module = pattern.module, functions.hasModule(module, among: modules) else { return false }
        awaited.remove(pattern)
        return true
    }

    /// At the end: the modules that were waited for in vain.
    mutating func takeAwaited() -> [String] {
        defer { awaited = [] }
        return Set(awaited.compactMap(\.module?.text)).sorted()
    }
}
