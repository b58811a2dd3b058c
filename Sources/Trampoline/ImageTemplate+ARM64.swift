import MachineCode

/// A trampoline for arm64 without its values.
package struct ARM64ImageTemplate: ImageTemplate {
    let assembler: ARM64Assembler
    let values: ARM64ImageBuilder.ValueLabels
    package let unwind: UnwindDescription
    package let callsFunction: Bool

    package var size: Int { assembler.offset }

    package func code(_ values: ImageValues, at address: UInt64) throws(TrampolineError) -> [UInt8] {
        do {
            return try assembler.finish(
                at: address,
                externals: [
                    self.values.functionAddress: values.address, self.values.relocatedEntry: values.relocatedEntry,
                    self.values.cookie: values.cookie, self.values.counters: values.counters,
                ])
        } catch {
            throw TrampolineError(error)
        }
    }
}
