import Sessions

/// Which of a session's programs are attached, and by which links: a second `attach()` takes what was loaded since.
struct AttachedPrograms: Sendable {
    private var programs: Set<Int> = []
    private var programOfLink: [Int: Int] = [:]
    /// What was attached; links that are gone are among them.
    private var made: [[Session.Link]] = []
    private var removed: Set<Int> = []

    /// Those that are not attached yet, and are from now on.
    mutating func claim(_ ids: [Int]) -> Set<Int> {
        let new = Set(ids).subtracting(programs)
        programs.formUnion(new)
        return new
    }

    /// Attaching them has failed.
    mutating func giveUp(_ ids: [Int]) { programs.subtract(ids) }

    /// There may be a hundred thousand links: they are those that the caller gets, not copies.
    mutating func add(_ ids: [Int], _ reports: [MemberReport], _ attachment: Session.Attachment) {
        programs.formUnion(ids)
        made.append(attachment.links)
        for member in reports {
            for linked in member.report.linked { programOfLink[linked.link] = linked.programID.flatMap { member.programs[$0] } }
        }
    }

    /// A program whose last link is gone is not attached any more.
    mutating func remove(_ link: Int) {
        removed.insert(link)
        guard let program = programOfLink.removeValue(forKey: link) else { return }
        if !programOfLink.values.contains(program) { programs.remove(program) }
    }

    /// The links that there are.
    var links: [Session.Link] {
        made.flatMap { $0.filter { !removed.contains($0.id) } }
    }
}
