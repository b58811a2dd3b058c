import Engine
import Sessions

/// Which of a session's programs are attached, and by which links: a second `attach()` takes what was loaded since.
struct AttachedPrograms: Sendable {
    private var programs: Set<Int> = []
    private var programOfLink: [Int: Int] = [:]
    /// What was attached; links that are gone are among them.
    private var made: [MemberReport] = []
    private var removed: Set<Int> = []

    /// Those that are not attached yet, and are from now on.
    mutating func claim(_ ids: [Int]) -> Set<Int> {
        let new = Set(ids).subtracting(programs)
        programs.formUnion(new)
        return new
    }

    /// Attaching them has failed.
    mutating func giveUp(_ ids: [Int]) { programs.subtract(ids) }

    mutating func add(_ ids: [Int], _ reports: [MemberReport]) {
        programs.formUnion(ids)
        made += reports
        for linked in reports.flatMap(\.report.linked) { programOfLink[linked.link] = linked.programID }
    }

    /// A program whose last link is gone is not attached any more.
    mutating func remove(_ link: Int) {
        removed.insert(link)
        guard let program = programOfLink.removeValue(forKey: link) else { return }
        if !programOfLink.values.contains(program) { programs.remove(program) }
    }

    /// The links that there are.
    var links: [Session.Link] {
        made.flatMap { made in
            made.report.linked.lazy.filter { !removed.contains($0.link) }.map { Session.Link($0, of: made) }
        }
    }
}
