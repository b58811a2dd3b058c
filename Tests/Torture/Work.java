import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;

/** Threads that allocate until the collector runs, throw, catch, and are interrupted. */
final class Work {
    static int depth(int n) {
        if (n == 0) throw new IllegalStateException("bottom");
        return depth(n - 1) + 1;
    }

    static long allocate(int seed) {
        List<int[]> kept = new ArrayList<>();
        long sum = 0;
        for (int round = 0; round < 4000; round++) {
            int[] part = new int[256 + (seed * 31 + round) % 512];
            part[round % part.length] = round;
            kept.add(part);
            if (kept.size() > 200) kept.subList(0, 150).clear();
            sum += part.length;
        }
        return sum;
    }

    static int exceptions() {
        int caught = 0;
        for (int round = 0; round < 300; round++) {
            try {
                depth(round % 40);
            } catch (IllegalStateException expected) {
                caught++;
            }
            try {
                int[] none = round % 2 == 0 ? null : new int[1];
                none[round % 3] = 1;
            } catch (NullPointerException | ArrayIndexOutOfBoundsException expected) {
                caught++;
            }
        }
        return caught;
    }

    static void overflow() { overflow(); }

    public static void main(String[] arguments) throws Exception {
        ExecutorService pool = Executors.newFixedThreadPool(4);
        List<Future<Long>> sums = new ArrayList<>();
        for (int thread = 0; thread < 4; thread++) {
            final int seed = thread;
            sums.add(pool.submit((Callable<Long>) () -> allocate(seed) + exceptions()));
        }
        for (Future<Long> sum : sums) System.out.println(sum.get());
        pool.shutdown();
        System.gc();
        try {
            overflow();
        } catch (StackOverflowError expected) {
            System.out.println("stack overflow caught");
        }
        Thread sleeper = new Thread(() -> {
            try {
                Thread.sleep(60_000);
            } catch (InterruptedException expected) {
                System.out.println("interrupted");
            }
        });
        sleeper.start();
        sleeper.interrupt();
        sleeper.join();
        System.out.println("done");
    }
}
