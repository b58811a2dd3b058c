extension Session {
    /// A record of a ring buffer, or of a perf event array.
    public struct Record: Sendable {
        @usableFromInline let batch: SharedEvents
        @usableFromInline let index: Int

        @inlinable
        init(batch: SharedEvents, index: Int) {
            self.batch = batch
            self.index = index
        }
    }
}

extension Session.Record {
    /// The map's name.
    public var map: String { batch.map }
    /// The traced process whose map it is, also where a child that it forked has sent the record; 0 for the kernel. Where
    /// several processes share the map, the one whose thread has sent it; 0 where that thread was gone too soon to be asked.
    public var processID: ProcessID { batch.processID }
    /// How many bytes it has.
    @inlinable
    public var count: Int { batch.range(of: index).count }
    /// What the program wrote; copied anew each time it is asked for.
    public var bytes: [UInt8] { Array(batch.bytes[batch.range(of: index)]) }

    /// Gives `body` what the program wrote, without a copy.
    ///
    /// ```swift
    /// for await event in session.events {
    ///     if let size = event.record?.withBytes({ $0.byteCount }) { print(size) }
    /// }
    /// ```
    ///
    /// - Throws: what `body` throws.
    @inlinable
    public func withBytes<Result, Failure: Error>(_ body: (RawSpan) throws(Failure) -> Result) throws(Failure) -> Result {
        let all = batch.bytes
        let span = all.span
        return try body(span.bytes.extracting(batch.range(of: index)))
    }

    /// The record's beginning as a value of Swift, of a type as for ``BPFMap/typed(key:value:)``; nil where the record is shorter.
    ///
    /// ```swift
    /// struct Slow: BitwiseCopyable { var argument, nanoseconds: UInt64; var command: InlineArray<16, UInt8> }
    /// for await event in session.events {
    ///     if let slow = event.record?.value(as: Slow.self) { print(slow.nanoseconds) }
    /// }
    /// ```
    @inlinable
    public func value<Value: BitwiseCopyable>(as type: Value.Type) -> Value? {
        let range = batch.range(of: index)
        guard range.count >= MemoryLayout<Value>.size else { return nil }
        return batch.bytes.withUnsafeBytes { $0.loadUnaligned(fromByteOffset: range.lowerBound, as: Value.self) }
    }
}
