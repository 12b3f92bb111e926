// An OpenID provider on loopback, for tests: node provider.mjs SETTINGS. It prints
// its issuer. SETTINGS is a JSON file of {clients, accounts}, of which the clients
// are read at the first request and the accounts, login to claims, at each sign-in.
import { createServer } from 'node:http';
import { readFileSync } from 'node:fs';
import Provider from 'oidc-provider';

const settings = () => JSON.parse(readFileSync(process.argv[2], 'utf8'));
let provider;
const server = createServer((req, res) => {
  provider ??= new Provider(issuer, {
    clients: settings().clients,
    features: { claimsParameter: { enabled: true } },
    scopes: ['openid', 'profile', 'email', 'groups'],
    claims: { openid: ['sub'], profile: ['name', 'preferred_username'], email: ['email', 'email_verified'], groups: ['groups'] },
    pkce: { required: () => true },
    cookies: { keys: ['of a test'] },
    findAccount: (_, login) => {
      const account = settings().accounts[login];
      return account && { accountId: login, claims: () => ({ sub: login, ...account }) };
    },
  });
  provider.callback()(req, res);
});
let issuer;
server.listen(0, '127.0.0.1', () => {
  issuer = `http://127.0.0.1:${server.address().port}`;
  console.log(issuer);
});
