/// A small table from numbers to numbers that is emptied often: with open addressing, and without clearing it.
private struct NumberTable {
    private var entries = [Entry](repeating: Entry(), count: 32)
    private var count = 0
    private var round: UInt32 = 1

    private struct Entry {
        var round: UInt32 = 0
        var key: UInt32 = 0
        var value: UInt32 = 0
    }

    mutating func removeAll() {
        count = 0
        round &+= 1
        // After 2³² rounds entries of the first would come back.
        if round == 0 { self = NumberTable() }
    }

    /// 0 where there is none.
    subscript(key: UInt32) -> UInt32 {
        get {
            let entry = entries[place(of: key)]
            return entry.round == round ? entry.value : 0
        }
        set {
            let index = place(of: key)
            if entries[index].round != round {
                count += 1
                if count * 2 > entries.count {
                    grow()
                    self[key] = newValue
                    return
                }
            }
            entries[index] = Entry(round: round, key: key, value: newValue)
        }
    }

    /// Where a key is, or would be put.
    private func place(of key: UInt32) -> Int {
        let mask = entries.count - 1
        var index = Int(truncatingIfNeeded: key &* 0x9e37_79b1) & mask
        while entries[index].round == round, entries[index].key != key { index = (index + 1) & mask }
        return index
    }

    private mutating func grow() {
        let old = entries.filter { $0.round == round }
        entries = Array(repeating: Entry(), count: entries.count * 2)
        count = 0
        for entry in old { self[entry.key] = entry.value }
    }
}

/// Which numbers of one state stand for which of another. 0 is no number.
struct NumberMap {
    private var olds = NumberTable()
    private var news = NumberTable()

    mutating func reset() {
        olds.removeAll()
        news.removeAll()
    }

    /// Whether `old` stands for `new`, consistently with what was asked before.
    mutating func matches(_ old: UInt32, _ new: UInt32) -> Bool {
        if old == 0 || new == 0 { return old == new }
        let known = olds[old]
        if known != 0 { return known == new }
        if news[new] != 0 { return false }
        olds[old] = new
        news[new] = old
        return true
    }
}

/// How often numbers occur.
struct NumberCounts {
    private var counts = NumberTable()

    mutating func reset() { counts.removeAll() }
    mutating func add(_ number: UInt32) { counts[number] += 1 }
    func count(_ number: UInt32) -> UInt32 { counts[number] }
}
