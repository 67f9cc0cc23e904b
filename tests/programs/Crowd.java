// SPDX-License-Identifier: BSD-2-Clause
// java Crowd PORT COUNT ROUNDS: so many connections at once on one selector, on each of which a line
// goes out and comes back so many times, all side by side.
import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.nio.ByteBuffer;
import java.nio.channels.SelectionKey;
import java.nio.channels.Selector;
import java.nio.channels.SocketChannel;

public class Crowd {
    static final class Talk {
        final int number;
        int round;
        ByteBuffer got = ByteBuffer.allocateDirect(100);

        Talk(int number) {
            this.number = number;
        }

        ByteBuffer line() {
            return ByteBuffer.wrap(("connection " + number + " round " + round + "\n").getBytes());
        }
    }

    static void write(SocketChannel channel, ByteBuffer line) throws IOException {
        while (line.hasRemaining())
            channel.write(line);
    }

    // True when all rounds of this connection are done.
    static boolean serve(SelectionKey key, int rounds) throws IOException {
        SocketChannel channel = (SocketChannel) key.channel();
        Talk talk = (Talk) key.attachment();
        if (key.isConnectable()) {
            channel.finishConnect();
            key.interestOps(SelectionKey.OP_READ);
            write(channel, talk.line());
            return false;
        }
        if (channel.read(talk.got) < 0)
            throw new IOException("the server hung up on " + talk.number);
        if (talk.got.get(talk.got.position() - 1) != '\n')
            return false;
        if (!talk.got.flip().equals(talk.line()))
            throw new IOException("other bytes for " + talk.number);
        talk.got.clear();
        if (++talk.round < rounds)
            write(channel, talk.line());
        return talk.round == rounds;
    }

    public static void main(String[] args) throws IOException {
        int count = Integer.parseInt(args[1]), rounds = Integer.parseInt(args[2]);
        InetSocketAddress server =
                new InetSocketAddress(InetAddress.getLoopbackAddress(), Integer.parseInt(args[0]));
        Selector selector = Selector.open();
        for (int i = 0; i < count; i++) {
            SocketChannel channel = SocketChannel.open();
            channel.configureBlocking(false);
            boolean connected = channel.connect(server);
            Talk talk = new Talk(i);
            channel.register(selector, connected ? SelectionKey.OP_READ : SelectionKey.OP_CONNECT, talk);
            if (connected)
                write(channel, talk.line());
        }
        for (int done = 0; done < count; selector.selectedKeys().clear()) {
            selector.select();
            for (SelectionKey key : selector.selectedKeys())
                if (serve(key, rounds))
                    done++;
        }
        System.out.println("good");
    }
}
