/// The programs that are in the target.
struct ProgramTable {
    private var last = 0
    private var byID: [Int: LoadedProgram] = [:]
    /// Those that record calls.
    var trace: TracePrograms?

    /// The number of a program that is put into the target.
    mutating func nextID() -> Int {
        last += 1
        return last
    }

    /// Programs that links may ask for.
    mutating func add(_ programs: [LoadedProgram]) {
        for program in programs { byID[program.id] = program }
    }

    subscript(id: Int) -> LoadedProgram? { byID[id] }
}
