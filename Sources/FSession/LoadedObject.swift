import BPF
import Engine
import Sessions

/// An object that is loaded in a session: its own programs, maps and variables, whatever else is loaded there.
///
/// ```swift
/// let loaded = try await session.load(object)
/// try await loaded.programs["count"]?.attach(to: "libz:deflate*")
/// print(loaded.maps["counts"]?.entries() ?? [], loaded.variables["calls"]?.description ?? "")
/// ```
public struct LoadedObject: Sendable {
    let session: Session
    let object: SessionObject

    /// The programs, in the file's order.
    public var programs: Named<LoadedProgram> {
        let sources = Dictionary(object.object.programs.map { ($0.name, $0) }) { first, _ in first }
        return Named(
            elements: object.programs.map { program in
                LoadedProgram(session: session, program: program, source: sources[program.name], maps: object.object.maps.map(\.name))
            }, name: \.name)
    }

    /// The maps, the sections of global variables left out.
    public var maps: Named<BPFMap> { Named(elements: BPFMap.all(of: object), name: \.name) }

    /// The global variables that programs change.
    public var variables: Named<BPFVariable> { Named(elements: BPFVariable.all(of: object), name: \.name) }

    /// Attaches the programs of this object that are not attached yet, as ``Session/attach(_:to:cookie:)`` does for all objects.
    /// - Parameters:
    ///   - pattern: the functions to attach to, in place of those that the sections name.
    ///   - cookie: what `bpf_get_attach_cookie` returns in these links.
    /// - Throws: ``SessionError``; then nothing of this call stays attached.
    @discardableResult
    public func attach(to pattern: String? = nil, cookie: UInt64 = 0) async throws(SessionError) -> Session.Attachment {
        try await session.attachNew(object.programs, to: pattern, cookie: cookie)
    }
}

/// A program of an object that is loaded in a session.
///
/// ```swift
/// for program in loaded.programs where program.section == "fsession" {
///     print(program.name, program.instructionCount, program.codeSize ?? 0, program.mapNames)
///     try await program.attach(to: "libc:malloc", cookie: 1)
/// }
/// ```
public struct LoadedProgram: Sendable {
    let session: Session
    let program: EngineProgram
    let source: ObjectProgram?
    /// The names of the object's maps.
    let maps: [String]

    /// The name of its C function.
    public var name: String { program.name }
    /// The section's name: what the program is and where it wants to be attached.
    public var section: String { program.section.name }
    /// What it is, as its section names it: `fentry`, `fsession`, `kprobe`, …
    public var kind: String { program.section.kind.rawValue }
    /// BPF instructions, those of the functions that it calls included.
    public var instructionCount: Int { source?.instructions.count ?? 0 }
    /// Bytes of machine code that it became in a process; nil in the kernel.
    public var codeSize: Int? { program.codeSize }
    /// The names of the maps that it uses, the sections of global variables left out.
    public var mapNames: [String] {
        let used = source?.mapIndices ?? []
        return maps.indices.filter(used.contains).map { maps[$0] }
    }

    /// Attaches the program, also where it is attached elsewhere.
    /// - Parameters:
    ///   - pattern: the functions to attach to, in place of those that the section names.
    ///   - cookie: what `bpf_get_attach_cookie` returns in these links.
    /// - Throws: ``SessionError``; then nothing of this call stays attached.
    @discardableResult
    public func attach(to pattern: String? = nil, cookie: UInt64 = 0) async throws(SessionError) -> Session.Attachment {
        try await session.attach([program], to: pattern, cookie: cookie)
    }
}

extension LoadedObject {
    /// Things in their order, and by their names.
    ///
    /// ```swift
    /// for map in loaded.maps { print(map.name) }
    /// let counts = loaded.maps["counts"]
    /// ```
    public struct Named<Element: Sendable>: RandomAccessCollection, Sendable {
        private let elements: [Element]
        private let names: [String]

        init(elements: [Element], name: (Element) -> String) {
            self.elements = elements
            names = elements.map(name)
        }

        /// 0.
        public var startIndex: Int { 0 }
        /// How many there are.
        public var endIndex: Int { elements.count }
        /// The one at that place.
        public subscript(position: Int) -> Element { elements[position] }

        /// The first of that name; nil where there is none.
        public subscript(name: String) -> Element? { names.firstIndex(of: name).map { elements[$0] } }
    }
}
