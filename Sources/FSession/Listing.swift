import BPF
import PlainText

/// A program as text: BPF assembly with the source lines between, as the kernel's log shows it.
enum Listing {
    static func text(of program: ObjectProgram, in object: BPF.Object) -> String {
        let disassembler = Disassembler(
            mapName: { object.maps.indices.contains(Int($0)) ? object.maps[Int($0)].name : nil },
            externName: { object.externs.indices.contains(Int($0)) ? object.externs[Int($0)].name : nil })
        var sources = Dictionary(grouping: program.lines, by: \.slot)
        var starts = Dictionary(program.subprograms.map { ($0.start, $0.name) }) { first, _ in first }
        var text = ""
        for line in disassembler.lines(program.instructions) {
            if let name = starts.removeValue(forKey: line.slot) { text += "\n\(name.escapingControls()):\n" }
            for source in sources.removeValue(forKey: line.slot) ?? [] {
                let code = source.text.drop { $0 == " " || $0 == "\t" }
                text += "; \(code) @ \(source.file.split(separator: "/").last ?? ""):\(source.line)".escapingControls() + "\n"
            }
            let number = String(line.slot)
            text += String(repeating: " ", count: max(0, 4 - number.count)) + "\(number): \(line.text.escapingControls())\n"
        }
        return text
    }
}
