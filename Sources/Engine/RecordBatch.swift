/// Records of one ring buffer, in one piece of memory: at millions a second, one allocation for each would cost more
/// than everything else.
package struct RecordBatch: Sendable {
    package private(set) var map = ""
    package private(set) var bytes: [UInt8] = []
    private var ends: [Int] = []

    package init() {}

    package var count: Int { ends.count }

    /// Where in `bytes` a record lies.
    package func range(of record: Int) -> Range<Int> {
        (record == 0 ? 0 : ends[record - 1])..<ends[record]
    }

    package mutating func append(_ record: UnsafeRawBufferPointer, of map: String) {
        if ends.isEmpty { self.map = map }
        bytes.append(contentsOf: record)
        ends.append(bytes.count)
    }
}
