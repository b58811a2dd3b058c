import MachineCode

/// A trampoline for x86-64 without its values.
package struct X86_64ImageTemplate: ImageTemplate {
    let template: X86_64Template
    package let unwind: UnwindDescription
    package let callsFunction: Bool

    package var size: Int { template.count }

    package func code(_ values: ImageValues, at address: UInt64) throws(TrampolineError) -> [UInt8] {
        do {
            // In the order of the builder's external labels.
            return try template.code(
                at: address, [values.address, values.relocatedEntry, values.cookie, values.counters])
        } catch {
            throw TrampolineError(error)
        }
    }
}

extension TrampolineError {
    init(_ error: MachineCodeError) {
        switch error {
        case .outOfReach(let from, let to, _): self = .outOfReach(from: from, to: to)
        case .unboundLabel: self = .assembly(error.description)
        }
    }
}
