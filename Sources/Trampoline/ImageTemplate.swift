/// What one function's trampoline has that another one's of the same shape has not.
package struct ImageValues: Sendable, Hashable {
    /// The function's own address: what `bpf_get_func_ip` returns.
    package var address: UInt64
    /// Where its body goes on: the relocated entry, or behind the NOPs that were replaced.
    package var relocatedEntry: UInt64
    /// What `bpf_get_attach_cookie` returns, where there is one link only.
    package var cookie: UInt64
    /// `CallCounters.address`
    package var counters: UInt64

    package init(_ function: FunctionEntry, _ lists: TrampolineLists, _ counters: UInt64?) {
        address = function.address
        relocatedEntry = function.relocatedEntry
        cookie = lists.only?.attachCookie ?? 0
        self.counters = counters ?? 0
    }
}

/// What trampolines have in common that differ in their `ImageValues` only, and in how far things are away: a hundred
/// thousand functions have some ten of them.
package struct ImageShape: Sendable, Hashable {
    /// One function's; those of others are alike.
    let lists: TrampolineLists
    let convention: CallingConvention
    let isCounted: Bool
    /// Whether the values fit into 32 signed bits.
    let hasShortAddress: Bool
    let hasShortCookie: Bool

    package init(_ lists: TrampolineLists, _ convention: CallingConvention, _ values: ImageValues, isCounted: Bool) {
        self.lists = lists
        self.convention = convention
        self.isCounted = isCounted
        hasShortAddress = Int32(exactly: Int64(bitPattern: values.address)) != nil
        hasShortCookie = Int32(exactly: Int64(bitPattern: values.cookie)) != nil
    }

    package static func == (a: ImageShape, b: ImageShape) -> Bool {
        a.isCounted == b.isCounted && a.hasShortAddress == b.hasShortAddress && a.hasShortCookie == b.hasShortCookie
            && a.convention == b.convention && a.lists.isLike(b.lists)
    }

    package func hash(into hasher: inout Hasher) {
        hasher.combine(convention.arguments.count)
        hasher.combine(convention.stackWords)
        hasher.combine(lists.nodeCount)
        hasher.combine(isCounted)
    }
}

extension TrampolineLists {
    /// The link, if there is only one.
    var only: TrampolineLink? {
        guard let first = entry.first ?? fmodRet.first ?? exit.first else { return nil }
        return nodeCount == first.kind.nodeCount ? first : nil
    }

    /// Whether the images are alike but for the cookie of an only link.
    fileprivate func isLike(_ other: TrampolineLists) -> Bool {
        if let mine = only, let others = other.only {
            return functionReturns == other.functionReturns && mine.isLike(others)
        }
        func areLike(_ a: [TrampolineLink], _ b: [TrampolineLink]) -> Bool {
            a.count == b.count && zip(a, b).allSatisfy { $0.isLike($1) && $0.attachCookie == $1.attachCookie }
        }
        return functionReturns == other.functionReturns && areLike(entry, other.entry)
            && areLike(fmodRet, other.fmodRet) && areLike(exit, other.exit)
    }
}

extension TrampolineLink {
    /// Whether a trampoline calls both alike.
    fileprivate func isLike(_ other: TrampolineLink) -> Bool {
        programAddress == other.programAddress && kind == other.kind && usesCookie == other.usesCookie
            && usesTailCalls == other.usesTailCalls && clobbers == other.clobbers
            && needsAlignedStack == other.needsAlignedStack
    }
}

/// A trampoline without its values.
package protocol ImageTemplate: Sendable {
    /// Bytes of code.
    var size: Int { get }
    /// What unwinders are told of each image.
    var unwind: UnwindDescription { get }
    /// Whether images call the function and see it return; the other shape only jumps on.
    var callsFunction: Bool { get }

    /// The code of the image at `address`.
    /// - Throws: `outOfReach` where something is farther away than from where the template was made for.
    func code(_ values: ImageValues, at address: UInt64) throws(TrampolineError) -> [UInt8]
}

extension ImageTemplate {
    package func image(_ values: ImageValues, at address: UInt64) throws(TrampolineError) -> TrampolineImage {
        TrampolineImage(
            address: address, code: try code(values, at: address),
            unwind: UnwindEntry(start: address, size: size, unwind), callsFunction: callsFunction)
    }
}
