import BPF
import Engine
import Synchronization

/// An object of a session, whichever processes it is loaded in.
package final class SessionObject: Sendable {
    package let object: Object
    let options: LoadOptions
    /// The session's number of its first program; the others follow.
    let firstProgram: Int
    private let first = Mutex<EngineObject?>(nil)

    init(object: Object, options: LoadOptions, firstProgram: Int) {
        self.object = object
        self.options = options
        self.firstProgram = firstProgram
    }

    /// As it was made where it was loaded first: the maps are the same everywhere.
    var made: EngineObject? { first.withLock { $0 } }

    func setMade(_ made: EngineObject) { first.withLock { $0 = $0 ?? made } }

    /// From the controller's side.
    package var maps: [any EngineMap] { made?.maps ?? [] }

    /// Its programs by the session's numbers.
    package var programs: [EngineProgram] {
        let made = made?.programs ?? []
        return object.programs.enumerated().map { number, program in
            EngineProgram(
                id: firstProgram + number, name: program.name, section: program.section,
                codeSize: made.indices.contains(number) ? made[number].codeSize : nil)
        }
    }
}

/// What attaching did in one process, or in the kernel.
package struct MemberReport: Sendable {
    /// 0: the kernel.
    package let processID: Int32
    package let report: LinkReport
    /// What `bpf_get_attach_cookie` returns in its links.
    package let cookie: UInt64
    /// The session's numbers of programs, by the numbers in `report`.
    package let programs: [Int: Int]

    package init(processID: Int32, report: LinkReport, cookie: UInt64 = 0, programs: [Int: Int] = [:]) {
        self.programs = programs
        self.processID = processID
        self.report = report
        self.cookie = cookie
    }
}

/// The numbers of a session, by process.
package struct SessionSummary: Sendable {
    package var members: [(processID: Int32, summary: EngineSummary)] = []
    /// Records that found no room in rings that the processes share, by map.
    package var drops: [(map: String, count: UInt64)] = []
    /// Records of threads that died while they wrote them to such rings.
    package var abandoned: UInt64 = 0
}
