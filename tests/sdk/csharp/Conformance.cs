// System.Net.WebSockets.ClientWebSocket as a client of both kinds. It learns its URLs from the
// environment, prints a line for each case, and ends with 1 if one failed.

using System;
using System.Collections.Generic;
using System.IO;
using System.Net.WebSockets;
using System.Text;
using System.Text.RegularExpressions;
using System.Threading;
using System.Threading.Tasks;

static class Conformance
{
    const string Json = "json.webpubsub.azure.v1";
    const string Join = "{\"type\":\"joinGroup\",\"group\":\"room\"";
    static readonly TimeSpan Limit = TimeSpan.FromSeconds(10);

    static readonly Dictionary<string, Func<Task>> Cases = new Dictionary<string, Func<Task>>
    {
        ["simple: texts and bytes are echoed"] = Echo,
        ["simple: fragments are one message"] = Fragments,
        ["simple: closing is answered with the same code"] = Close,
        ["simple: messages go to a group"] = Publish,
        ["pubsub: the server names connection and user"] = Connected,
        ["pubsub: join, send every data type, leave"] = Group,
        ["pubsub: an ack id counts once"] = Duplicate,
        ["pubsub: an event's answer arrives before its ack"] = Event,
        ["pubsub: without the role everything is forbidden"] = Forbidden,
        ["pubsub: what is malformed ends the connection"] = Malformed,
        ["no token, no entry"] = Refused,
    };

    static int Main()
    {
        var failed = 0;
        foreach (var test in Cases)
        {
            try
            {
                test.Value().GetAwaiter().GetResult();
                Console.WriteLine("ok " + test.Key);
            }
            catch (Exception problem)
            {
                failed++;
                Console.WriteLine("FAILED " + test.Key + "\n" + problem);
            }
        }
        Console.WriteLine((Cases.Count - failed) + " passed, " + failed + " failed");
        return failed == 0 ? 0 : 1;
    }

    static async Task Echo()
    {
        using (var client = await Client.Connect("SIMPLE"))
        {
            foreach (var text in new[] { "text", "", "äöü € 😀", new string('x', 300000) })
                await client.Exchange(text, text);
            var bytes = new byte[] { 0, 1, 254, 255 };
            await client.Send(bytes, WebSocketMessageType.Binary, true);
            Equal(Convert.ToBase64String(bytes), await client.Next());
        }
    }

    static async Task Fragments()
    {
        using (var client = await Client.Connect("SIMPLE"))
        {
            await client.Send(Encoding.UTF8.GetBytes("frag"), WebSocketMessageType.Text, false);
            await client.Send(Encoding.UTF8.GetBytes("ment"), WebSocketMessageType.Text, false);
            await client.Send(Encoding.UTF8.GetBytes("ed"), WebSocketMessageType.Text, true);
            Equal("fragmented", await client.Next());
        }
    }

    static async Task Close()
    {
        using (var client = await Client.Connect("SIMPLE"))
        {
            await client.CloseOutput(3456);
            Equal("closed 3456", await client.Next());
        }
    }

    static async Task Publish()
    {
        using (var member = await Client.Connect("MEMBER"))
        using (var publisher = await Client.Connect("PUBLISHER"))
        {
            await member.Arrive();
            await publisher.Send("to the group");
            Equal("to the group", await member.Next());
            await publisher.Send(new byte[] { 1, 2, 3 }, WebSocketMessageType.Binary, true);
            Equal("AQID", await member.Next());
        }
    }

    static async Task Connected()
    {
        using (var client = await Client.Connect("ANN", Json))
        {
            Equal(Json, client.Subprotocol);
            Matches("^{\"type\":\"system\",\"event\":\"connected\",\"userId\":\"ann\","
                + "\"connectionId\":\"[A-Za-z0-9_-]+\"}$", await client.Next());
            await client.CloseOutput(1000);
            Equal("closed 1000", await client.Next());
        }
    }

    static async Task Group()
    {
        using (var ann = await Client.Connect("ANN", Json))
        using (var bob = await Client.Connect("BOB", Json))
        using (var simple = await Client.Connect("SIMPLE_MEMBER"))
        {
            await ann.Next();
            await bob.Next();
            await simple.Arrive();
            await ann.Exchange(Join + ",\"ackId\":1}", Ack(1));
            await bob.Exchange(Join + ",\"ackId\":1}", Ack(1));
            var contents = new[]
            {
                new[] { "text", "\"hällo\"", "hällo" },
                new[] { "json", "{\"n\":1.50,\"l\":[null,true]}", "{\"n\":1.50,\"l\":[null,true]}" },
                new[] { "binary", "\"AP8=\"", "AP8=" },
            };
            var id = 1;
            foreach (var content in contents)
            {
                id++;
                var data = "\"dataType\":\"" + content[0] + "\",\"data\":" + content[1];
                await bob.Exchange("{\"type\":\"sendToGroup\",\"group\":\"room\",\"noEcho\":true,"
                    + data + ",\"ackId\":" + id + "}", Ack(id));
                Equal("{\"type\":\"message\",\"from\":\"group\",\"group\":\"room\"," + data
                    + ",\"fromUserId\":\"bob\"}", await ann.Next());
                Equal(content[2], await simple.Next());
            }
            await ann.Exchange("{\"type\":\"leaveGroup\",\"group\":\"room\",\"ackId\":2}", Ack(2));
            await bob.Send("{\"type\":\"sendToGroup\",\"group\":\"room\",\"dataType\":\"text\",\"data\":\"x\"}");
            await bob.Next();
            await simple.Next();
            await ann.Exchange("{\"type\":\"ping\"}", "{\"type\":\"pong\"}");
        }
    }

    static async Task Duplicate()
    {
        using (var client = await Client.Connect("ANN", Json))
        {
            await client.Next();
            await client.Exchange(Join + ",\"ackId\":7}", Ack(7));
            await client.Exchange(Join + ",\"ackId\":7}",
                "{\"type\":\"ack\",\"ackId\":7,\"success\":false,\"error\":{\"name\":\"Duplicate\","
                + "\"message\":\"Message with ack-id: 7 has been processed\"}}");
        }
    }

    static async Task Event()
    {
        using (var client = await Client.Connect("ANN", Json))
        {
            await client.Next();
            var contents = new[] { "text|\"hi\"", "json|[1,{}]", "binary|\"AQI=\"" };
            for (var id = 1; id <= contents.Length; id++)
            {
                var content = contents[id - 1].Split('|');
                var data = "\"dataType\":\"" + content[0] + "\",\"data\":" + content[1];
                await client.Exchange("{\"type\":\"event\",\"event\":\"greet\"," + data + ",\"ackId\":" + id + "}",
                    "{\"type\":\"message\",\"from\":\"server\"," + data + "}");
                Equal(Ack(id), await client.Next());
            }
        }
    }

    static async Task Forbidden()
    {
        using (var client = await Client.Connect("SIMPLE", Json))
        {
            await client.Next();
            await client.Send(Join + ",\"ackId\":1}");
            Matches("\"success\":false,\"error\":{\"name\":\"Forbidden\"", await client.Next());
            await client.Send("{\"type\":\"sendToGroup\",\"group\":\"room\",\"dataType\":\"text\",\"data\":\"x\",\"ackId\":2}");
            Matches("\"success\":false,\"error\":{\"name\":\"Forbidden\"", await client.Next());
        }
    }

    static async Task Malformed()
    {
        using (var client = await Client.Connect("ANN", Json))
        {
            await client.Next();
            await client.Send("{not json");
            Matches("^{\"type\":\"system\",\"event\":\"disconnected\",\"message\":\".+\"}$", await client.Next());
            Equal("closed 1007", await client.Next());
        }
    }

    static async Task Refused()
    {
        try
        {
            (await Client.Connect("STRANGER")).Dispose();
        }
        catch (WebSocketException)
        {
            return;
        }
        throw new Exception("the handshake was accepted");
    }

    static string Ack(int id)
    {
        return "{\"type\":\"ack\",\"ackId\":" + id + ",\"success\":true}";
    }

    static void Equal(string expected, string found)
    {
        if (expected != found)
            throw new Exception("expected " + expected + ", found " + found);
    }

    static void Matches(string pattern, string found)
    {
        if (!Regex.IsMatch(found, pattern))
            throw new Exception("expected " + pattern + ", found " + found);
    }

    /// <summary>A connection; messages are given as texts, bytes as base64.</summary>
    sealed class Client : IDisposable
    {
        readonly ClientWebSocket socket = new ClientWebSocket();

        public string Subprotocol
        {
            get { return socket.SubProtocol; }
        }

        public static async Task<Client> Connect(string url, params string[] subprotocols)
        {
            var client = new Client();
            foreach (var subprotocol in subprotocols)
                client.socket.Options.AddSubProtocol(subprotocol);
            try
            {
                await InTime(limit => client.socket.ConnectAsync(
                    new Uri(Environment.GetEnvironmentVariable(url)), limit));
                return client;
            }
            catch
            {
                client.Dispose();
                throw;
            }
        }

        public Task Send(string text)
        {
            return Send(Encoding.UTF8.GetBytes(text), WebSocketMessageType.Text, true);
        }

        public Task Send(byte[] data, WebSocketMessageType type, bool last)
        {
            return InTime(limit => socket.SendAsync(new ArraySegment<byte>(data), type, last, limit));
        }

        public Task CloseOutput(int code)
        {
            return InTime(limit => socket.CloseOutputAsync((WebSocketCloseStatus)code, "", limit));
        }

        public async Task Exchange(string message, string answer)
        {
            await Send(message);
            Equal(answer, await Next());
        }

        /// <summary>
        /// Waits until the connection is in its groups. A simple client is told nothing of that;
        /// the answer to its first message shows it.
        /// </summary>
        public Task Arrive()
        {
            return Exchange("here", "here");
        }

        public async Task<string> Next()
        {
            var message = new MemoryStream();
            var buffer = new byte[8192];
            while (true)
            {
                WebSocketReceiveResult part = null;
                await InTime(async limit =>
                    part = await socket.ReceiveAsync(new ArraySegment<byte>(buffer), limit));
                if (part.MessageType == WebSocketMessageType.Close)
                    return "closed " + (int)part.CloseStatus;
                message.Write(buffer, 0, part.Count);
                if (part.EndOfMessage && part.MessageType == WebSocketMessageType.Text)
                    return Encoding.UTF8.GetString(message.ToArray());
                if (part.EndOfMessage)
                    return Convert.ToBase64String(message.ToArray());
            }
        }

        public void Dispose()
        {
            socket.Dispose();
        }

        static async Task InTime(Func<CancellationToken, Task> work)
        {
            using (var limit = new CancellationTokenSource(Limit))
                await work(limit.Token);
        }
    }
}
