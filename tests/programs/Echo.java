// SPDX-License-Identifier: BSD-2-Clause
// java Echo.java server PORT: a server on one selector that sends back what it is sent.
// java Echo.java client PORT: blocking clients in threads that compare every byte.
// java Echo.java http: an HttpServer and an HttpClient in one process.
import com.sun.net.httpserver.HttpServer;
import java.io.DataInputStream;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.Socket;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.ByteBuffer;
import java.nio.channels.SelectionKey;
import java.nio.channels.Selector;
import java.nio.channels.ServerSocketChannel;
import java.nio.channels.SocketChannel;
import java.util.Arrays;
import java.util.Random;

public class Echo {
    static void echo(SelectionKey key) throws Exception {
        SocketChannel channel = (SocketChannel) key.channel();
        ByteBuffer buffer = (ByteBuffer) key.attachment();
        if (key.isReadable() && channel.read(buffer) < 0 && buffer.position() == 0) {
            channel.close();
            return;
        }
        buffer.flip();
        channel.write(buffer);
        buffer.compact();
        int in = buffer.hasRemaining() ? SelectionKey.OP_READ : 0;
        key.interestOps(buffer.position() > 0 ? in | SelectionKey.OP_WRITE : in);
    }

    static void server(int port) throws Exception {
        Selector selector = Selector.open();
        ServerSocketChannel listener = ServerSocketChannel.open();
        listener.bind(new InetSocketAddress(InetAddress.getLoopbackAddress(), port));
        listener.configureBlocking(false);
        listener.register(selector, SelectionKey.OP_ACCEPT);
        while (true) {
            selector.select();
            for (SelectionKey key : selector.selectedKeys()) {
                if (key.isAcceptable()) {
                    SocketChannel channel = listener.accept();
                    channel.configureBlocking(false);
                    channel.register(selector, SelectionKey.OP_READ, ByteBuffer.allocateDirect(65536));
                } else {
                    echo(key);
                }
            }
            selector.selectedKeys().clear();
        }
    }

    static void talk(int port, long seed) throws Exception {
        Random random = new Random(seed);
        try (Socket socket = new Socket(InetAddress.getLoopbackAddress(), port)) {
            DataInputStream in = new DataInputStream(socket.getInputStream());
            for (int i = 0; i < 400; i++) {
                byte[] out = new byte[1 + random.nextInt(i % 10 == 0 ? 60000 : 500)];
                byte[] back = new byte[out.length];
                random.nextBytes(out);
                socket.getOutputStream().write(out);
                in.readFully(back);
                if (!Arrays.equals(out, back))
                    throw new IllegalStateException("round " + i + " came back otherwise");
            }
        }
    }

    static void client(int port) throws Exception {
        Thread[] threads = new Thread[6];
        boolean[] good = new boolean[threads.length];
        for (int i = 0; i < threads.length; i++) {
            int number = i;
            threads[i] = new Thread(() -> {
                try {
                    talk(port, number);
                    good[number] = true;
                } catch (Exception failure) {
                    failure.printStackTrace();
                }
            });
            threads[i].start();
        }
        for (Thread thread : threads)
            thread.join();
        for (boolean one : good)
            if (!one)
                System.exit(1);
        System.out.println("good");
    }

    static void http() throws Exception {
        HttpServer server = HttpServer.create(
                new InetSocketAddress(InetAddress.getLoopbackAddress(), 0), 0);
        server.createContext("/", exchange -> {
            byte[] body = exchange.getRequestBody().readAllBytes();
            exchange.sendResponseHeaders(200, body.length);
            exchange.getResponseBody().write(body);
            exchange.close();
        });
        server.start();
        HttpClient client = HttpClient.newHttpClient();
        URI uri = URI.create("http://127.0.0.1:" + server.getAddress().getPort() + "/");
        Random random = new Random(1);
        for (int i = 0; i < 100; i++) {
            byte[] body = new byte[1 + random.nextInt(100000)];
            random.nextBytes(body);
            HttpRequest request = HttpRequest.newBuilder(uri)
                    .POST(HttpRequest.BodyPublishers.ofByteArray(body)).build();
            byte[] back = client.send(request, HttpResponse.BodyHandlers.ofByteArray()).body();
            if (!Arrays.equals(body, back))
                throw new IllegalStateException("request " + i + " came back otherwise");
        }
        server.stop(0);
        System.out.println("good");
        System.exit(0);
    }

    public static void main(String[] args) throws Exception {
        switch (args[0]) {
            case "server" -> server(Integer.parseInt(args[1]));
            case "client" -> client(Integer.parseInt(args[1]));
            default -> http();
        }
    }
}
