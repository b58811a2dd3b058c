/// Records of one ring buffer, in one piece of memory: at millions a second, one allocation for each would cost more
/// than everything else.
package struct RecordBatch: Sendable {
    package let map: String
    /// The traced process whose map it is; 0 for the kernel's.
    package let processID: Int32
    /// All records, one behind the other.
    package private(set) var bytes: [UInt8] = []
    /// Where each record ends in them.
    package private(set) var ends: [Int] = []

    package init(map: String, processID: Int32) {
        self.map = map
        self.processID = processID
    }

    package var count: Int { ends.count }

    /// Where in `bytes` a record lies.
    package func range(of record: Int) -> Range<Int> {
        (record == 0 ? 0 : ends[record - 1])..<ends[record]
    }

    package mutating func append(_ record: UnsafeRawBufferPointer) {
        bytes.append(contentsOf: record)
        ends.append(bytes.count)
    }
}
