import CLinux
import ELF
import Engine
import Glibc

/// A program or library whose functions are probed, by their offsets in the file.
struct ProbedFile {
    let path: String
    private let file: ELFFile

    /// A path, or a name to be looked up where programs and libraries are.
    init(_ name: String) throws(EngineError) {
        path = try Self.find(name)
        do {
            file = try ELFFile(path: path)
        } catch {
            throw .request("cannot probe '\(path)': \(error)")
        }
    }

    private static let folders: [String] = {
        let triple = String(cString: clinux_multiarch_folder())
        let path = getenv("PATH").map { String(cString: $0) } ?? ""
        let libraries = getenv("LD_LIBRARY_PATH").map { String(cString: $0) } ?? ""
        return libraries.split(separator: ":").map(String.init)
            + ["/lib64", "/usr/lib64", "/lib/\(triple)", "/usr/lib/\(triple)", "/lib", "/usr/lib"]
            + path.split(separator: ":").map(String.init)
    }()

    private static func find(_ name: String) throws(EngineError) -> String {
        if name.contains("/") { return name }
        guard let folder = folders.first(where: { access("\($0)/\(name)", R_OK) == 0 }) else {
            throw .request("there is no program or library '\(name)' in \(folders.joined(separator: ", ")); give its path")
        }
        return "\(folder)/\(name)"
    }

    /// The functions of both symbol tables.
    private func functions() -> [(name: String, address: UInt64)] {
        [try? file.symbols, try? file.dynamicSymbols].compactMap { $0 }.flatMap { table in
            table.filter { $0.type == .function && $0.isDefined }.map { (table.name(of: $0), $0.value) }
        }
    }

    /// Where in the file a place is: FUNCTION, FUNCTION+OFFSET, or an offset in the file (0x1234).
    func offset(of place: String) throws(EngineError) -> UInt64 {
        if let number = Self.number(place[...]) { return number }
        let parts = place.split(separator: "+", maxSplits: 1)
        guard let name = parts.first, let more = parts.count > 1 ? Self.number(parts[1]) : 0 else {
            throw .request("'\(place)' is not a place in \(path): write FUNCTION, FUNCTION+OFFSET or 0xOFFSET")
        }
        let functions = functions()
        guard let function = functions.first(where: { $0.name == name }), let offset = file.offset(ofAddress: function.address)
        else {
            throw .noFunction(
                pattern: "\(path):\(name)", nearest: NearestNames.of(String(name), in: functions.lazy.map(\.name)))
        }
        return offset &+ more
    }

    /// All functions that a pattern matches, each place once.
    func offsets(matching glob: Glob) throws(EngineError) -> [(name: String, offset: UInt64)] {
        var seen: Set<UInt64> = []
        let functions = functions()
        let found = functions.filter { glob.matches($0.name) }.compactMap { function in
            file.offset(ofAddress: function.address).map { (name: function.name, offset: $0) }
        }.filter { seen.insert($0.offset).inserted }
        guard !found.isEmpty else {
            throw .noFunction(pattern: "\(path):\(glob.text)", nearest: NearestNames.of(glob.text, in: functions.lazy.map(\.name)))
        }
        return found
    }

    private static func number(_ text: Substring) -> UInt64? {
        text.hasPrefix("0x") ? UInt64(text.dropFirst(2), radix: 16) : UInt64(text)
    }
}
