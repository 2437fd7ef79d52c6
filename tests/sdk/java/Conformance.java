// The JDK's own WebSocket as a client of both kinds. It learns its URLs from the environment,
// prints a line for each case, and ends with 1 if one failed.

import java.io.ByteArrayOutputStream;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.WebSocket;
import java.net.http.WebSocketHandshakeException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.Arrays;
import java.util.Base64;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.CompletionException;
import java.util.concurrent.CompletionStage;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;

public class Conformance {
  static final String JSON = "json.webpubsub.azure.v1";
  static final long SECONDS = 10;
  static final HttpClient HTTP =
      HttpClient.newBuilder().connectTimeout(Duration.ofSeconds(SECONDS)).build();

  interface Case {
    void run() throws Exception;
  }

  public static void main(String[] arguments) {
    Map<String, Case> cases = new LinkedHashMap<>();
    cases.put("simple: texts and bytes are echoed", Conformance::echo);
    cases.put("simple: fragments are one message", Conformance::fragments);
    cases.put("simple: a ping is answered", Conformance::ping);
    cases.put("simple: closing is answered with the same code", Conformance::close);
    cases.put("simple: messages go to a group", Conformance::publish);
    cases.put("pubsub: the server names connection and user", Conformance::connected);
    cases.put("pubsub: join, send every data type, leave", Conformance::group);
    cases.put("pubsub: an ack id counts once", Conformance::duplicate);
    cases.put("pubsub: an event's answer arrives before its ack", Conformance::event);
    cases.put("pubsub: a ping is answered", () -> {
      Client client = Client.connect("ANN", JSON);
      client.next();
      client.exchange("{\"type\":\"ping\"}", "{\"type\":\"pong\"}");
      client.socket.abort();
    });
    cases.put("pubsub: without the role everything is forbidden", Conformance::forbidden);
    cases.put("pubsub: what is malformed ends the connection", Conformance::malformed);
    cases.put("no token, no entry", Conformance::refused);
    int failed = 0;
    for (Map.Entry<String, Case> entry : cases.entrySet()) {
      try {
        entry.getValue().run();
        System.out.println("ok " + entry.getKey());
      } catch (Exception | AssertionError problem) {
        failed++;
        System.out.println("FAILED " + entry.getKey());
        problem.printStackTrace(System.out);
      }
    }
    System.out.println((cases.size() - failed) + " passed, " + failed + " failed");
    System.exit(failed == 0 ? 0 : 1);
  }

  static void echo() throws Exception {
    Client client = Client.connect("SIMPLE");
    equal("", client.socket.getSubprotocol());
    for (String text : new String[] {"text", "", "äöü € 😀", "x".repeat(300_000)}) {
      client.send(text);
      equal(text, client.next());
    }
    byte[] bytes = {0, 1, (byte) 254, (byte) 255};
    client.socket.sendBinary(ByteBuffer.wrap(bytes), true).join();
    equal(Base64.getEncoder().encodeToString(bytes), client.next());
    client.socket.abort();
  }

  static void fragments() throws Exception {
    Client client = Client.connect("SIMPLE");
    client.socket.sendText("frag", false).join();
    client.socket.sendText("ment", false).join();
    client.socket.sendText("ed", true).join();
    equal("fragmented", client.next());
    client.socket.abort();
  }

  static void ping() throws Exception {
    Client client = Client.connect("SIMPLE");
    client.socket.sendPing(ByteBuffer.wrap("payload".getBytes(StandardCharsets.UTF_8))).join();
    equal("pong payload", client.next());
    client.socket.abort();
  }

  static void close() throws Exception {
    Client client = Client.connect("SIMPLE");
    client.socket.sendClose(3456, "done").join();
    equal("closed 3456", client.next());
  }

  static void publish() throws Exception {
    Client member = Client.connect("MEMBER");
    Client publisher = Client.connect("PUBLISHER");
    member.arrive();
    publisher.send("to the group");
    equal("to the group", member.next());
    publisher.socket.sendBinary(ByteBuffer.wrap(new byte[] {1, 2, 3}), true).join();
    equal("AQID", member.next());
    publisher.socket.abort();
    member.socket.abort();
  }

  static void connected() throws Exception {
    Client client = Client.connect("ANN", JSON);
    equal(JSON, client.socket.getSubprotocol());
    matches("\\{\"type\":\"system\",\"event\":\"connected\",\"userId\":\"ann\","
        + "\"connectionId\":\"[A-Za-z0-9_-]+\"\\}", client.next());
    client.socket.sendClose(WebSocket.NORMAL_CLOSURE, "").join();
    equal("closed 1000", client.next());
  }

  static void group() throws Exception {
    Client ann = Client.connect("ANN", JSON);
    Client bob = Client.connect("BOB", JSON);
    Client simple = Client.connect("SIMPLE_MEMBER");
    ann.next();
    bob.next();
    simple.arrive();
    ann.exchange("{\"type\":\"joinGroup\",\"group\":\"room\",\"ackId\":1}", ack(1));
    bob.exchange("{\"type\":\"joinGroup\",\"group\":\"room\",\"ackId\":1}", ack(1));
    String[][] contents = {
      {"text", "\"hällo\"", "hällo"},
      {"json", "{\"n\":1.50,\"l\":[null,true]}", "{\"n\":1.50,\"l\":[null,true]}"},
      {"binary", "\"AP8=\"", "AP8="},
    };
    int id = 1;
    for (String[] content : contents) {
      id++;
      String data = "\"dataType\":\"" + content[0] + "\",\"data\":" + content[1];
      bob.exchange("{\"type\":\"sendToGroup\",\"group\":\"room\",\"noEcho\":true," + data
          + ",\"ackId\":" + id + "}", ack(id));
      equal("{\"type\":\"message\",\"from\":\"group\",\"group\":\"room\"," + data
          + ",\"fromUserId\":\"bob\"}", ann.next());
      equal(content[2], simple.next());
    }
    ann.exchange("{\"type\":\"leaveGroup\",\"group\":\"room\",\"ackId\":2}", ack(2));
    String unseen = "{\"type\":\"sendToGroup\",\"group\":\"room\",\"dataType\":\"text\",\"data\":\"x\"";
    bob.send(unseen + "}");
    bob.next();
    simple.next();
    ann.exchange("{\"type\":\"ping\"}", "{\"type\":\"pong\"}");
    for (Client client : new Client[] {ann, bob, simple}) {
      client.socket.abort();
    }
  }

  static void duplicate() throws Exception {
    Client client = Client.connect("ANN", JSON);
    client.next();
    String join = "{\"type\":\"joinGroup\",\"group\":\"room\",\"ackId\":7}";
    client.exchange(join, ack(7));
    client.exchange(join, "{\"type\":\"ack\",\"ackId\":7,\"success\":false,\"error\":{\"name\":"
        + "\"Duplicate\",\"message\":\"Message with ack-id: 7 has been processed\"}}");
    client.socket.abort();
  }

  static void event() throws Exception {
    Client client = Client.connect("ANN", JSON);
    client.next();
    String[][] contents = {{"text", "\"hi\""}, {"json", "[1,{}]"}, {"binary", "\"AQI=\""}};
    for (int id = 1; id <= contents.length; id++) {
      String data = "\"dataType\":\"" + contents[id - 1][0] + "\",\"data\":" + contents[id - 1][1];
      client.send("{\"type\":\"event\",\"event\":\"greet\"," + data + ",\"ackId\":" + id + "}");
      equal("{\"type\":\"message\",\"from\":\"server\"," + data + "}", client.next());
      equal(ack(id), client.next());
    }
    client.socket.abort();
  }

  static void forbidden() throws Exception {
    Client client = Client.connect("SIMPLE", JSON);
    client.next();
    client.send("{\"type\":\"joinGroup\",\"group\":\"room\",\"ackId\":1}");
    matches(".*\"success\":false,\"error\":\\{\"name\":\"Forbidden\".*", client.next());
    client.send("{\"type\":\"sendToGroup\",\"group\":\"room\",\"dataType\":\"text\",\"data\":\"x\","
        + "\"ackId\":2}");
    matches(".*\"success\":false,\"error\":\\{\"name\":\"Forbidden\".*", client.next());
    client.socket.abort();
  }

  static void malformed() throws Exception {
    Client client = Client.connect("ANN", JSON);
    client.next();
    client.send("{not json");
    matches("\\{\"type\":\"system\",\"event\":\"disconnected\",\"message\":\".+\"\\}", client.next());
    equal("closed 1007", client.next());
  }

  static void refused() throws Exception {
    try {
      Client.connect("STRANGER");
      throw new AssertionError("the handshake was accepted");
    } catch (CompletionException refusal) {
      if (!(refusal.getCause() instanceof WebSocketHandshakeException handshake)) {
        throw refusal;
      }
      equal(401, handshake.getResponse().statusCode());
    }
  }

  static String ack(int id) {
    return "{\"type\":\"ack\",\"ackId\":" + id + ",\"success\":true}";
  }

  static void equal(Object expected, Object found) {
    if (!expected.equals(found)) {
      throw new AssertionError("expected " + expected + ", found " + found);
    }
  }

  static void matches(String pattern, String found) {
    if (!found.matches(pattern)) {
      throw new AssertionError("expected " + pattern + ", found " + found);
    }
  }

  /** A connection whose messages can be waited for: texts as they are, bytes as base64. */
  static final class Client implements WebSocket.Listener {
    private final BlockingQueue<String> arrivals = new LinkedBlockingQueue<>();
    private final StringBuilder text = new StringBuilder();
    private final ByteArrayOutputStream bytes = new ByteArrayOutputStream();
    WebSocket socket;

    static Client connect(String url, String... subprotocols) {
      Client client = new Client();
      WebSocket.Builder builder = HTTP.newWebSocketBuilder();
      if (subprotocols.length > 0) {
        builder.subprotocols(subprotocols[0], Arrays.copyOfRange(subprotocols, 1, subprotocols.length));
      }
      client.socket = builder.buildAsync(URI.create(System.getenv(url)), client).join();
      return client;
    }

    void send(String message) {
      socket.sendText(message, true).join();
    }

    void exchange(String message, String answer) throws InterruptedException {
      send(message);
      equal(answer, next());
    }

    /**
     * Waits until the connection is in its groups. A simple client is told nothing of that; the
     * answer to its first message shows it.
     */
    void arrive() throws InterruptedException {
      exchange("here", "here");
    }

    String next() throws InterruptedException {
      String item = arrivals.poll(SECONDS, TimeUnit.SECONDS);
      if (item == null) {
        throw new AssertionError("nothing arrived");
      }
      return item;
    }

    @Override
    public CompletionStage<?> onText(WebSocket socket, CharSequence data, boolean last) {
      text.append(data);
      if (last) {
        arrivals.add(text.toString());
        text.setLength(0);
      }
      socket.request(1);
      return null;
    }

    @Override
    public CompletionStage<?> onBinary(WebSocket socket, ByteBuffer data, boolean last) {
      byte[] part = new byte[data.remaining()];
      data.get(part);
      bytes.writeBytes(part);
      if (last) {
        arrivals.add(Base64.getEncoder().encodeToString(bytes.toByteArray()));
        bytes.reset();
      }
      socket.request(1);
      return null;
    }

    @Override
    public CompletionStage<?> onPong(WebSocket socket, ByteBuffer message) {
      arrivals.add("pong " + StandardCharsets.UTF_8.decode(message));
      socket.request(1);
      return null;
    }

    @Override
    public CompletionStage<?> onClose(WebSocket socket, int code, String reason) {
      arrivals.add("closed " + code);
      return null;
    }

    @Override
    public void onError(WebSocket socket, Throwable error) {
      arrivals.add("error " + error);
    }
  }
}
