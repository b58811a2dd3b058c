import CensusReader
import Foundation
// Decides for every function of every ELF file in some folders what tracing it would overwrite, as the engine decides it, and
// holds each decision against a second reading of the file's code that shares nothing with the engine (`Reader`).
//
//   census [--sample COUNT] [--largest BYTES] [FOLDER | FILE]…
//
// Prints what was decided and by which rule functions are refused; each violation on a line; status 1 if there was one.
import MachineCode
import ProcessEngine
import Synchronization
import Trampoline

/// What was found, in one file or in all.
struct Tally: Sendable {
    var files = 0
    var functions = 0
    var patched = 0
    var inPadding = 0
    var refused: [String: Int] = [:]
    var instructions: UInt64 = 0
    var unread: UInt64 = 0
    var notReached: UInt64 = 0
    var tables: UInt64 = 0
    var violations: [String] = []
    var violationCount = 0
    var leftOut: [String: Int] = [:]

    static func += (a: inout Tally, b: Tally) {
        a.files += b.files
        a.functions += b.functions
        a.patched += b.patched
        a.inPadding += b.inPadding
        a.refused.merge(b.refused, uniquingKeysWith: +)
        a.instructions += b.instructions
        a.unread += b.unread
        a.notReached += b.notReached
        a.tables += b.tables
        a.violations += b.violations
        a.violationCount += b.violationCount
        a.leftOut.merge(b.leftOut, uniquingKeysWith: +)
    }
}

func tally(of path: String) -> Tally {
    var tally = Tally()
    let decisions: [EntryDecision]
    do {
        decisions = try FileFunctions.decisions(inFile: path)
    } catch {
        // Go programs and damaged files.
        tally.leftOut[
            "\(error)".contains("is a Go program") ? "Go programs" : "\(error)".contains("no function") ? "no named functions" : "\(error)",
            default: 0] += 1
        return tally
    }
    tally.files = 1
    tally.functions = decisions.count
    var patches: [census_patch] = []
    var names: [UInt64: String] = [:]
    for decision in decisions {
        switch decision.outcome {
        case .refused(let reason): tally.refused[reason, default: 0] += 1
        case .patched(let entry):
            tally.patched += 1
            names[entry.patch.function] = decision.name
            if entry.patch.address < entry.patch.function {
                tally.inPadding += 1
                patches.append(
                    .init(
                        function: entry.patch.function, start: entry.patch.address &+ shift, size: UInt32(X86_64.jumpSize),
                        kind: CENSUS_PADDING.rawValue))
            }
            patches.append(
                .init(
                    function: entry.patch.function, start: entry.patch.overwritten.lowerBound &+ shift, size: UInt32(entry.patch.overwritten.count),
                    kind: CENSUS_ENTRY.rawValue))
        }
    }
    var found = [census_violation](repeating: .init(), count: 50)
    var result = census_result()
    guard census_read(path, patches, patches.count, &found, found.count, &result) == 0 else {
        tally.violations.append("\(path): the second reader cannot read it")
        tally.violationCount += 1
        return tally
    }
    tally.instructions = result.instructions
    tally.unread = result.unread
    tally.notReached = result.not_reached
    tally.tables = result.tables
    tally.violationCount = result.violations
    for violation in found.prefix(result.violations) {
        let what =
            switch census_finding(violation.finding) {
            case CENSUS_TARGET: "is entered"
            case CENSUS_RETURN: "is returned to"
            case CENSUS_COVERED: "is inside the instruction at \(hex(violation.source))"
            case CENSUS_REACHED: "is run to, in the padding"
            case CENSUS_LOOP: "is jumped back to"
            default: "is no NOP, in the padding"
            }
        tally.violations.append(
            "\(path): \(names[violation.function] ?? "?") at \(hex(violation.function)): \(hex(violation.address)) \(what)")
    }
    return tally
}

func hex(_ address: UInt64) -> String { "0x" + String(address, radix: 16) }

/// The ELF files for x86-64 in a folder, each once.
func files(in folder: String, largest: Int) -> [String] {
    var status = stat()
    guard stat(folder, &status) == 0 else { return [] }
    if status.st_mode & S_IFMT == S_IFREG { return [folder] }
    var found: [String] = []
    guard let walk = FileManager.default.enumerator(atPath: folder) else { return [] }
    for case let name as String in walk {
        let path = folder + "/" + name
        guard lstat(path, &status) == 0, status.st_mode & S_IFMT == S_IFREG, status.st_size >= 64, status.st_size <= largest,
            let file = fopen(path, "r")
        else { continue }
        var head = [UInt8](repeating: 0, count: 20)
        let count = fread(&head, 1, head.count, file)
        fclose(file)
        // ELF, 64 bits; an executable or a library; x86-64.
        if count == 20, head.starts(with: [0x7F, 0x45, 0x4C, 0x46, 2]), head[16] == 2 || head[16] == 3, head[18] == 62 {
            found.append(path)
        }
    }
    return found
}

var arguments = CommandLine.arguments.dropFirst()
var folders: [String] = []
var sample: Int?
var largest = Int.max
/// So many bytes further on than the engine would write: what is wrong with that must be found.
nonisolated(unsafe) var shift: UInt64 = 0
while let argument = arguments.popFirst() {
    switch argument {
    case "--sample": sample = arguments.popFirst().flatMap { Int($0) }
    case "--shift": shift = arguments.popFirst().flatMap { UInt64($0) } ?? 0
    case "--largest": largest = arguments.popFirst().flatMap { Int($0) } ?? largest
    default: folders.append(argument)
    }
}
if folders.isEmpty { folders = ["/usr/bin", "/usr/sbin", "/usr/lib"] }
var paths = folders.flatMap { files(in: $0, largest: largest) }.sorted()
if let sample, sample < paths.count {
    // Spread evenly over all, and the same every time.
    paths = (0..<sample).map { paths[$0 * paths.count / sample] }
}

let total = Mutex(Tally())
let next = Atomic(0)
let work = paths
await withTaskGroup(of: Void.self) { group in
    for _ in 0..<max(1, ProcessInfo.processInfo.activeProcessorCount) {
        group.addTask {
            while true {
                let index = next.wrappingAdd(1, ordering: .relaxed).oldValue
                guard index < work.count else { return }
                let found = tally(of: work[index])
                for line in found.violations { print("violation: \(line)") }
                total.withLock { $0 += found }
            }
        }
    }
}
let all = total.withLock { $0 }
print("\(all.files) files, \(all.functions) functions: \(all.patched) can be patched, \(all.inPadding) of them with a jump in the padding before")
for (reason, count) in all.refused.sorted(by: { ($1.value, $0.key) < ($0.value, $1.key) }) { print("\(count) refused: \(reason)") }
for (reason, count) in all.leftOut.sorted(by: { $0.value > $1.value }) { print("\(count) files left out: \(reason)") }
print(
    "second reading: \(all.instructions) instructions, \(all.tables) jump tables, \(all.unread) places that Capstone does not know, "
        + "\(all.notReached) entries that it does not come to")
print("\(all.violationCount) violations")
exit(all.violationCount == 0 && all.functions > 0 ? 0 : 1)
