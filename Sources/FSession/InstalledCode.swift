import ProcessEngine

/// What some fsession has put into a process for one function: the trampoline and the programs it calls.
public struct InstalledCode: Sendable {
    /// Machine code of the trampoline, then of each program beside its BPF assembly.
    public let listing: String

    /// Reads it out of a running process, which need not be stopped for it.
    /// - Throws: ``SessionError`` if the process cannot be read, no function has that name, or none is traced.
    public init(of function: String, in processID: ProcessID) throws(SessionError) {
        do throws(EngineError) {
            listing = try CodeListing.text(of: FunctionPattern(function), in: processID.rawValue)
        } catch {
            throw SessionError(error)
        }
    }
}

extension Session.Function {
    /// The functions of an executable or library on disk that `pattern` matches; addresses are those in the file.
    /// - Throws: ``SessionError`` if it is no ELF file for this machine, or nothing matches.
    public static func functions(matching pattern: String, inFile path: String) throws(SessionError) -> [Session.Function] {
        do throws(EngineError) {
            return try FileFunctions.matching(FunctionPattern(pattern), inFile: path).map(Session.Function.init)
        } catch {
            throw SessionError(error)
        }
    }
}
