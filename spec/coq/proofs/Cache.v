(** The lookup cache is sound: a hit is what the lookup would find, as long as fewer than 2^64 switches
    of its thread lie between the filling and the hit. *)
From stdpp Require Import base numbers gmap strings list.
From Coq Require Import Lia.
From Contextvars Require Import Words Bindings State Text Equality Life Machine.
From ContextvarsProofs Require Import Places HamtMap Laws Frame Invariant Maps Missing Reset Isolation.
Local Open Scope N_scope.

(** ** [context_ver] is one more than the number of switches, modulo 2^64 *)

Definition wrap_at : N := half * half.
Definition u64_ok (u : u64) : Prop := high u < half /\ low u < half.

Lemma u64_bound u : u64_ok u -> u64_value u < wrap_at.
Proof. unfold u64_ok, u64_value, wrap_at. intros [A B]. nia. Qed.

(** VER-3. *)
Theorem u64_next_value u : u64_ok u -> u64_ok (u64_next u) /\ u64_value (u64_next u) = (u64_value u + 1) mod wrap_at.
Proof.
  intros [A B]. unfold u64_next, u64_ok, u64_value, wrap_at, half in *.
  destruct (N.eqb_spec (low u) 4294967295) as [El | Nl]; [destruct (N.eqb_spec (high u) 4294967295) as [Eh | Nh]|]; cbn [high low].
  - rewrite El, Eh. split; [split; reflexivity | reflexivity].
  - split; [split; lia|]. rewrite N.mod_small; lia.
  - split; [split; lia|]. rewrite N.mod_small; nia.
Qed.

Lemma u64_clamp_ok u : u64_ok (u64_clamp u).
Proof.
  unfold u64_ok, u64_clamp, half. cbn [high low]. change 4294967295 with (N.ones 32). rewrite !N.land_ones.
  change 4294967296 with (2 ^ 32). split; apply N.mod_lt; discriminate.
Qed.

(** The version of a thread and the number of its switches belong together. *)
Definition counted (t : thread) : Prop :=
  u64_ok (th_ver t) /\ u64_value (th_ver t) = (1 + th_switches t) mod wrap_at.

(** [set_context_ver] is as if so many switches had happened. *)
Lemma jump_counted from to g : u64_value from = (1 + g) mod wrap_at -> u64_ok from -> u64_ok to ->
  u64_value to = (1 + ghost_jump from to g) mod wrap_at.
Proof.
  intros E F T. apply u64_bound in F, T. unfold ghost_jump. fold wrap_at. rewrite N.add_assoc.
  assert (wrap_at <> 0) as W by discriminate.
  rewrite <- N.add_mod_idemp_l, <- E, N.add_mod_idemp_r by exact W.
  replace (u64_value from + (u64_value to + wrap_at - u64_value from)) with (u64_value to + 1 * wrap_at) by lia.
  rewrite N.mod_add, N.mod_small by assumption. reflexivity.
Qed.

Lemma jump_grows from to g : g < ghost_jump from to g \/ ghost_jump from to g = g.
Proof. unfold ghost_jump. generalize ((u64_value to + half * half - u64_value from) mod (half * half)). unfold ghost. intros d. lia. Qed.

Section cache.
  Context {M : Type} `{Lawful M}.
  Implicit Types (s : state M) (c : N) (t : thread).

  (** ** What becomes of a thread: it switches, or its stack stays, and its base if something is current *)

  Definition advances t t' : Prop :=
    (th_switches t < th_switches t' \/
     (th_switches t' = th_switches t /\ th_stack t' = th_stack t /\ (th_base t' = th_base t \/ current t = None))) /\
    (counted t -> counted t').

  Lemma advances_refl t : advances t t.
  Proof. split; auto. Qed.

  Lemma advances_trans t t' t'' : advances t t' -> advances t' t'' -> advances t t''.
  Proof.
    intros [A C] [A' C']. split; [|auto]. destruct A as [A | (A & B & D)], A' as [A' | (A' & B' & D')]; try (left; lia).
    right. repeat split; try congruence. destruct D as [D | D]; [|auto]. destruct D' as [D' | D']; [left; congruence|].
    right. unfold current in *. rewrite B, D in D'. exact D'.
  Qed.

  Lemma switch_advances th stack s : advances (thread_of s th) (thread_of (switch th stack s) th).
  Proof.
    unfold switch, tell, thread_of. cbn. rewrite lookup_insert. cbn. fold (thread_of s th). split.
    - left. cbn. unfold ghost_next. lia.
    - intros [O E]. destruct (u64_next_value _ O) as [O' E']. split; [exact O'|]. cbn. rewrite E', E.
      unfold ghost_next. rewrite N.add_mod_idemp_l by discriminate. f_equal. lia.
  Qed.

  Lemma put_advances th t s : advances (thread_of s th) t -> advances (thread_of s th) (thread_of (put_thread th t s) th).
  Proof. rewrite thread_of_put, decide_True by reflexivity. trivial. Qed.

  Lemma enter_advances th c name s : advances (thread_of s th) (thread_of (enter th c name s).1 th).
  Proof. unfold enter. destruct (ctx_entered _); [apply advances_refl | exact (switch_advances th _ (set_entered c true s))]. Qed.

  Lemma exit_advances th c name s : advances (thread_of s th) (thread_of (exit th c name s).1 th).
  Proof.
    unfold exit. destruct (negb _); [apply advances_refl|]. destruct (negb _); [apply advances_refl|].
    exact (switch_advances th _ (set_entered c false s)).
  Qed.

  Lemma frames_advances th frames s : advances (thread_of s th) (thread_of (set_frames th frames s) th).
  Proof. unfold set_frames. apply put_advances. split; auto. Qed.

  Lemma run_end_advances th r s : advances (thread_of s th) (thread_of (run_end th r s).1 th).
  Proof.
    unfold run_end. destruct (th_frames (thread_of s th)) as [|[c name] frames]; [apply advances_refl|].
    pose proof (exit_advances th c name (set_frames th frames s)) as A.
    destruct (exit th c name (set_frames th frames s)) as [s' [e|]]; cbn [fst] in *;
      (eapply advances_trans; [apply frames_advances | exact A]).
  Qed.

  Lemma unwind_advances th frames : forall s, advances (thread_of s th) (thread_of (unwind frames th s) th).
  Proof.
    induction frames as [|f frames IH]; intros s; [apply advances_refl|].
    eapply advances_trans; [apply (run_end_advances th Done) | apply IH].
  Qed.

  Lemma same_advances th s s' : same (AtVer th) s s' -> same (AtStack th) s s' ->
    (same (AtBase th) s s' \/ current (thread_of s th) = None) -> advances (thread_of s th) (thread_of s' th).
  Proof.
    intros [V G] S B. cbn in *. split; [right; repeat split; assumption|]. unfold counted. rewrite V, G. trivial.
  Qed.

  Lemma base_advances th s : advances (thread_of s th) (thread_of (current_or_base th s).1 th).
  Proof.
    unfold current_or_base. destruct (current (thread_of s th)) eqn:E; [apply advances_refl|]. cbn [fst].
    apply (put_advances th _ (add_context new_context s)). split; [right; cbn; auto | trivial].
  Qed.

  Lemma thread_of_unbind c v x s th : thread_of (unbind c v x s) th = thread_of s th.
  Proof. unfold unbind, set_cache. destruct (variables _ !! v); reflexivity. Qed.

  Lemma set_advances th v b id s : advances (thread_of s th) (thread_of (set th v b id s).1 th).
  Proof.
    unfold set. destruct (held_variable s v); [|apply advances_refl]. destruct (_ || _); [apply advances_refl|].
    pose proof (base_advances th s) as A. destruct (current_or_base th s) as [s' c]. cbn [fst] in *.
    rewrite thread_of_bind. exact A.
  Qed.

  Lemma reset_advances th v id (t : token) s : advances (thread_of s th) (thread_of (reset th v id t s).1 th).
  Proof.
    unfold reset. destruct (tok_used t); [apply advances_refl|]. destruct (negb _); [apply advances_refl|].
    pose proof (base_advances th s) as A. destruct (current_or_base th s) as [s' c]. cbn [fst] in *.
    destruct (negb _); [exact A|]. destruct (variables s' !! v); [|exact A].
    destruct (tok_old t); [|destruct (present _); [|exact A]]; cbn [fst]; rewrite ?thread_of_bind, ?thread_of_unbind; exact A.
  Qed.

  Lemma operate_advances th op s th' : is_thread s th ->
    advances (thread_of s th') (thread_of (operate false th op s).1 th').
  Proof.
    intros L. destruct (decide (th = th')) as [<- | Hne].
    2: { apply same_advances; [| | left]; apply (thread_frame false th th' op s _ L Hne); unfold about_thread; auto. }
    assert (AtVer th ∉ footprint th op s -> AtStack th ∉ footprint th op s -> AtBase th ∉ footprint th op s ->
      advances (thread_of s th) (thread_of (operate false th op s).1 th)) as still.
    { intros HV HS HB. apply same_advances; [| | left]; apply (frame false th op s L); assumption. }
    destruct op; try (solve [apply still; cbn [footprint]; unfold on_named, named_fp, new_fp, drop_fp;
      repeat match goal with |- context [match ?x with _ => _ end] => destruct x end; try left;
      intros E; repeat match type of E with
        | _ ∈ _ :: _ => apply elem_of_cons in E; destruct E as [E | E]
        | _ ∈ [] => inversion E
        | _ = _ => discriminate E
        end]).
    - apply set_advances.
    - cbn [operate]. unfold reset_any. destruct (held_variable s variable); [|apply advances_refl].
      destruct token; try apply advances_refl. destruct (held_token s id); [apply reset_advances | apply advances_refl].
    - cbn [operate]. unfold on_token. destruct (held_token s token); [apply reset_advances | apply advances_refl].
    - cbn [operate]. unfold copy_current. pose proof (base_advances th s) as A.
      destruct (current_or_base th s) as [s' c]. exact A.
    - cbn [operate]. unfold run_begin. destruct (names s !! context) as [c|]; [|apply advances_refl].
      pose proof (enter_advances th c context s) as A. destruct (enter th c context s) as [s' [e|]]; [exact A|].
      eapply advances_trans; [exact A | apply frames_advances].
    - apply run_end_advances.
    - apply run_end_advances.
    - cbn [operate]. unfold attempt. destruct (negb _); [apply advances_refl|].
      assert (forall name r, advances (thread_of s th) (thread_of (run_at_once th name r s).1 th)) as R.
      { intros name r. unfold run_at_once. destruct (names s !! name) as [c|]; [|apply advances_refl].
        pose proof (enter_advances th c name s) as A. destruct (enter th c name s) as [s' [e|]]; [exact A|]. cbn [fst] in A.
        pose proof (exit_advances th c name s') as A'.
        destruct (exit th c name s') as [s2 [e|]]; (eapply advances_trans; [exact A | exact A']). }
      destruct tried, on; try apply advances_refl; apply R.
    - cbn [operate]. unfold copy_current. pose proof (base_advances th s) as A.
      destruct (current_or_base th s) as [s' c]. exact A.
    - cbn [operate]. destruct context; try apply advances_refl. unfold on_context.
      destruct (names s !! id) as [c|]; [|apply advances_refl]. pose proof (enter_advances th c id s) as A.
      unfold answer. destruct (enter th c id s) as [s' [e|]]; exact A.
    - cbn [operate]. destruct context; try apply advances_refl. unfold on_context.
      destruct (names s !! id) as [c|]; [|apply advances_refl]. pose proof (exit_advances th c id s) as A.
      unfold answer. destruct (exit th c id s) as [s' [e|]]; exact A.
    - cbn [operate]. destruct variable; try apply advances_refl. apply set_advances.
    - cbn [operate]. destruct (is_bound s variable && is_bound s token); [|apply advances_refl].
      destruct variable; try apply advances_refl. destruct token; try apply advances_refl.
      unfold on_token. destruct (held_token s id0); [apply reset_advances | apply advances_refl].
    - cbn [operate]. unfold end_thread. eapply advances_trans; [apply unwind_advances|]. apply put_advances. split; auto.
    - cbn [operate fst]. apply put_advances. split.
      + cbn [th_switches th_stack th_base].
        destruct (jump_grows (th_ver (thread_of s th)) (u64_clamp context_ver) (th_switches (thread_of s th))) as [J | J]; [left; exact J | right; auto].
      + intros [O E]. split; [apply u64_clamp_ok|]. apply jump_counted; [exact E | exact O | apply u64_clamp_ok].
    - cbn [operate]. unfold has_current. cbn [fst]. set (a := add_context new_context s).
      eapply advances_trans; [exact (switch_advances th (next_context s :: th_stack (thread_of s th)) a) | apply switch_advances].
  Qed.

  (** ** The invariant of the caches *)

  (** An entry belongs to a moment of its thread; if the thread has not switched since, it is right. *)
  Definition entry_ok s v x e (g : N) : Prop :=
    let t := thread_of s (cached_thread e) in
    u64_value (cached_ver e) = (1 + g) mod wrap_at /\ g <= th_switches t /\
    (g = th_switches t -> lookup_map t v x s = Some (cached_value e)).

  Record cached s : Prop := {
    cached_threads th : counted (thread_of s th);
    cached_entries v x e g : variables s !! v = Some x -> var_cache x = Some (MkCache e g) -> entry_ok s v x e g;
  }.

  (** What keeps it: every entry is an old one whose bindings stayed, or is right. *)
  Lemma cached_keep s s' : inv s -> cached s ->
    (forall th, advances (thread_of s th) (thread_of s' th)) ->
    (forall v x' e g, variables s' !! v = Some x' -> var_cache x' = Some (MkCache e g) ->
      (exists x, variables s !! v = Some x /\ var_cache x = Some (MkCache e g) /\ var_hash x' = var_hash x /\
        forall c, c < next_context s ->
          find (key_of v x) (ctx_map (context_of s' c)) = find (key_of v x) (ctx_map (context_of s c))) \/
      entry_ok s' v x' e g) -> cached s'.
  Proof.
    intros I [T E] A K. split; [intros th; apply (A th), T|].
    intros v x' e g Hx' Hc. destruct (K v x' e g Hx' Hc) as [(x & Hx & Hc' & Eh & F) | O]; [|exact O].
    destruct (E v x e g Hx Hc') as (V & G & L). destruct (A (cached_thread e)) as [[Lt | (Es & Ek & Eb)] _].
    - repeat split; [exact V | lia | lia].
    - repeat split; [exact V | lia |]. rewrite Es. intros Eg. specialize (L Eg).
      unfold lookup_map in *. set (t := thread_of s (cached_thread e)) in *. set (t' := thread_of s' (cached_thread e)) in *.
      destruct (current t) as [c|] eqn:Cu; [|discriminate]. destruct Eb as [Eb | Eb]; [|discriminate].
      replace (current t') with (Some c) by (unfold current in *; rewrite Ek, Eb; symmetry; exact Cu).
      unfold key_of in *. rewrite Eh, F; [exact L | apply (current_lt _ s c I Cu)].
  Qed.

  Lemma filled th v x b s : (forall th, counted (thread_of s th)) -> lookup_map (thread_of s th) v x s = Some b ->
    entry_ok s v x (CacheEntry b th (th_ver (thread_of s th))) (th_switches (thread_of s th)).
  Proof. intros T L. repeat split; [apply T | reflexivity | intros _; exact L]. Qed.

  Lemma variable_cache v y s w x : variables (set_cache v y s) !! w = Some x ->
    (w = v /\ exists x0, variables s !! v = Some x0 /\ var_cache x = y /\ var_hash x = var_hash x0) \/
    (w <> v /\ variables s !! w = Some x).
  Proof.
    unfold set_cache. destruct (variables s !! v) as [x0|] eqn:E.
    - cbn. destruct (decide (v = w)) as [<- | Hne].
      + rewrite lookup_insert. intros [= <-]. left. split; [reflexivity|]. exists x0. auto.
      + rewrite lookup_insert_ne by exact Hne. auto.
    - intros Hx. right. split; [congruence | exact Hx].
  Qed.

  Lemma lookup_key t v x x' s : var_hash x' = var_hash x -> lookup_map t v x' s = lookup_map t v x s.
  Proof. intros E. unfold lookup_map, key_of. rewrite E. reflexivity. Qed.

  Lemma cached_get th v d s : inv s -> cached s -> cached (get false th v d s).1.
  Proof.
    intros I C. unfold get. destruct (held_variable s v) as [x|] eqn:Ex; [|exact C]. apply held_variable_some in Ex.
    unfold lookup. cbn [andb]. destruct (lookup_map (thread_of s th) v x s) as [b|] eqn:El; [|exact C]. cbn [fst]. unfold fill_cache.
    set (y := Some _). assert (forall th', thread_of (set_cache v y s) th' = thread_of s th') as Et.
    { intros th'. unfold set_cache. destruct (variables s !! v); reflexivity. }
    assert (forall c, context_of (set_cache v y s) c = context_of s c) as Ec.
    { intros c. unfold set_cache. destruct (variables s !! v); reflexivity. }
    apply (cached_keep s); auto.
    - intros th'. rewrite Et. apply advances_refl.
    - intros w x' e g Hx' Hc. destruct (variable_cache _ _ _ _ _ Hx') as [(-> & x0 & Hx0 & Hy & Eh) | [Hne Hx]].
      + right. rewrite Hc in Hy. unfold y in Hy. injection Hy as -> ->. unfold entry_ok. rewrite Et. cbn [cached_thread cached_ver cached_value].
        repeat split; [apply C | reflexivity | intros _].
        rewrite Hx0 in Ex. injection Ex as ->. rewrite (lookup_key _ v x x' _ Eh), <- El. unfold lookup_map.
        destruct (current (thread_of s th)); [rewrite Ec|]; reflexivity.
      + left. exists x'. repeat split; auto. intros c _. rewrite Ec. reflexivity.
  Qed.

  Lemma cached_base th s : inv s -> cached s -> cached (current_or_base th s).1.
  Proof.
    intros I C. apply (cached_keep s); auto.
    - intros th'. destruct (decide (th = th')) as [<- | Hne]; [apply base_advances|].
      unfold current_or_base. destruct (current (thread_of s th)); [apply advances_refl|]. cbn [fst].
      rewrite thread_of_put, decide_False by exact Hne. apply advances_refl.
    - intros v x e g Hx Hc. rewrite variables_base in Hx. left. exists x. repeat split; auto. intros c Hc'.
      unfold current_or_base. destruct (current (thread_of s th)); [reflexivity|]. cbn [fst].
      change (find (key_of v x) (ctx_map (context_of (add_context new_context s) c)) = find (key_of v x) (ctx_map (context_of s c))).
      rewrite context_of_add, decide_False by lia. reflexivity.
  Qed.

  Lemma cached_tokens f s : cached s -> cached (set_tokens f s).
  Proof. intros [T E]. split; [exact T | exact E]. Qed.

  (** Binding and unbinding in the current context. *)
  Lemma cached_bind th c v x b s : inv s -> cached s -> variables s !! v = Some x ->
    current (thread_of s th) = Some c -> cached (bind th c v x b s).
  Proof.
    intros I C Hv Cu. apply (cached_keep s); auto.
    - intros th'. rewrite thread_of_bind. apply advances_refl.
    - intros w x' e g Hx' Hc. unfold bind, fill_cache in Hx'.
      destruct (variable_cache _ _ _ _ _ Hx') as [(-> & x0 & Hx0 & Hy & Eh) | [Hne Hx]].
      + right. rewrite Hc in Hy. injection Hy as -> ->. unfold entry_ok.
        rewrite thread_of_bind. change (thread_of (set_map c (assoc (key_of v x) b (ctx_map (context_of s c))) s) th) with (thread_of s th).
        cbn [cached_thread cached_ver cached_value].
        repeat split; [apply C | reflexivity | intros _]. unfold lookup_map. rewrite Cu, context_of_bind, context_of_set_map, decide_True by reflexivity.
        change (variables s !! v = Some x0) in Hx0. rewrite Hv in Hx0. injection Hx0 as <-. unfold key_of. rewrite Eh.
        rewrite law_find_assoc by (apply fold_half || apply (inv_maps s I)). rewrite key_eqb_refl. reflexivity.
      + left. exists x'. repeat split; auto. intros d _. rewrite context_of_bind, context_of_set_map.
        destruct (decide (c = d)) as [<- |]; [|reflexivity].
        rewrite law_find_assoc by (apply key_of_ok || apply (inv_maps s I)).
        replace (key_eqb (key_of w x') (key_of v x)) with false; [reflexivity|].
        symmetry. apply key_eqb_false. intros [= E _]. contradiction.
  Qed.

  Lemma cached_unbind c v x s : inv s -> cached s -> cached (unbind c v x s).
  Proof.
    intros I C. apply (cached_keep s); auto.
    - intros th'. rewrite thread_of_unbind. apply advances_refl.
    - intros w x' e g Hx' Hc. unfold unbind in Hx'.
      destruct (variable_cache _ _ _ _ _ Hx') as [(-> & x0 & Hx0 & Hy & Eh) | [Hne Hx]]; [congruence|].
      left. exists x'. repeat split; auto. intros d _. rewrite context_of_unbind, context_of_set_map.
      destruct (decide (c = d)) as [<- |]; [|reflexivity].
      rewrite law_find_without by (apply key_of_ok || apply (inv_maps s I)).
      replace (key_eqb (key_of w x') (key_of v x)) with false; [reflexivity|].
      symmetry. apply key_eqb_false. intros [= E _]. contradiction.
  Qed.

  Lemma cached_set th v b id s : inv s -> cached s -> cached (set th v b id s).1.
  Proof.
    intros I C. unfold set. destruct (held_variable s v) as [x|] eqn:Ex; [|exact C]. apply held_variable_some in Ex.
    destruct (_ || _); [exact C|]. pose proof (cached_base th s I C) as C'. pose proof (inv_base_made th s I) as I'.
    pose proof (current_made th s) as Cu. rewrite <- (variables_base th s) in Ex. pose proof (base_made_lt th s I) as Hc.
    destruct (current_or_base th s) as [s' c]. cbn [fst snd] in *. set (t := MkToken _ _ _ _ _).
    apply cached_bind; [|apply cached_tokens, C' | exact Ex | exact Cu].
    apply inv_set_tokens; [exact I'|]. intros j u. destruct (decide (id = j)) as [<- | Hne].
    - rewrite lookup_insert. intros [= <-]. split; [exact Hc | cbn; eauto].
    - rewrite lookup_insert_ne by exact Hne. apply (inv_tokens s' I').
  Qed.

  Lemma cached_reset th v id (t : token) s : inv s -> cached s -> tokens s !! id = Some t -> cached (reset th v id t s).1.
  Proof.
    intros I C Ht. unfold reset. destruct (tok_used t); [exact C|]. destruct (negb _); [exact C|].
    pose proof (cached_base th s I C) as C'. pose proof (inv_base_made th s I) as I'.
    pose proof (current_made th s) as Cu. pose proof (tokens_base th s) as Et.
    destruct (current_or_base th s) as [s' c]. cbn [fst snd] in *. destruct (negb _); [exact C'|].
    destruct (variables s' !! v) as [x|] eqn:Ex; [|exact C'].
    assert (inv (use id t s')) as Iu by (apply inv_use; [exact I' | rewrite Et; exact Ht]).
    assert (cached (use id t s')) as Cc by (apply cached_tokens, C').
    destruct (tok_old t); [apply cached_bind; assumption|]. destruct (present _); [apply cached_unbind; assumption | exact Cc].
  Qed.

  Lemma cached_operate th op s : is_thread s th -> inv s -> cached s -> cached (operate false th op s).1.
  Proof.
    intros L I C.
    assert (binds op = false -> (forall v x' e g, variables (operate false th op s).1 !! v = Some x' ->
      var_cache x' = Some (MkCache e g) -> exists x, variables s !! v = Some x /\ var_cache x = Some (MkCache e g) /\ var_hash x' = var_hash x) ->
      cached (operate false th op s).1) as others.
    { intros B K. apply (cached_keep s); auto; [intros th'; apply operate_advances, L|].
      intros v x' e g Hx' Hc. left. destruct (K v x' e g Hx' Hc) as (x & Hx & Hc' & Eh). exists x. repeat split; auto.
      intros c Hc2. rewrite (map_frame false th op s c L Hc2); auto. }
    assert (forall f, changes f s (operate false th op s).1 -> (forall v, AtCache v ∉ f) -> (forall v, AtVariable v ∉ f) ->
      forall v x' e g, variables (operate false th op s).1 !! v = Some x' ->
      var_cache x' = Some (MkCache e g) -> exists x, variables s !! v = Some x /\ var_cache x = Some (MkCache e g) /\ var_hash x' = var_hash x) as still.
    { intros f Ch F1 F2 v x' e g Hx' Hc. pose proof (Ch _ (F1 v)) as E1. pose proof (Ch _ (F2 v)) as E2. cbn in E1, E2.
      rewrite Hx' in E1, E2. destruct (variables s !! v) as [x|]; [|discriminate]. exists x. cbn in E1, E2.
      unfold but_cache in E2. split; [reflexivity|]. split; congruence. }
    assert (forall name hash d v, cached (new_variable name hash d v s).1) as Hnew.
    { intros. unfold new_variable. destruct (variables s !! v) eqn:E; [exact C|].
      apply (cached_keep s); auto; [intros; apply advances_refl|].
      intros w x' e g Hx' Hc. left. cbn in Hx'. destruct (decide (v = w)) as [<- | Hne].
      - rewrite lookup_insert in Hx'. injection Hx' as <-. discriminate Hc.
      - rewrite lookup_insert_ne in Hx' by exact Hne. exists x'. auto. }
    destruct op; try (solve [apply others; [reflexivity|];
      match goal with |- context [operate _ _ ?op _] => apply (still (footprint th op s)) end; [apply (frame false th _ s L) | |];
      intros w; cbn [footprint];
      unfold on_named, named_fp, probe_fp, base_fp, new_fp, return_fp, end_fp, unwind_fp, run_fp, enter_fp;
      repeat match goal with |- context [match ?x with _ => _ end] => destruct x end;
      intros E; repeat match goal with
        | E : _ ∈ _ ++ _ |- _ => apply elem_of_app in E
        | E : _ ∈ _ :: _ |- _ => apply elem_of_cons in E
        | E : _ \/ _ |- _ => destruct E as [E | E]
        | E : _ = _ |- _ => discriminate E
        | E : _ ∈ [] |- _ => inversion E
        | E : _ ∈ map _ _ |- _ => apply elem_of_list_fmap in E as (? & E & _)
        end]).
    - apply Hnew.
    - apply cached_get; assumption.
    - apply cached_set; assumption.
    - cbn [operate]. unfold reset_any. destruct (held_variable s variable); [|exact C]. destruct token; try exact C.
      destruct (held_token s id) as [t|] eqn:Ht; [|exact C]. apply cached_reset; auto. apply held_token_some, Ht.
    - cbn [operate]. unfold on_token. destruct (held_token s token) as [t|] eqn:Ht; [|exact C].
      apply cached_reset; auto. apply held_token_some, Ht.
    - apply others; [reflexivity|]. intros v x' e g. cbn [operate]. unfold drop.
      destruct (negb _); [eauto|]. cbn [fst]. destruct dropped; try (solve [cbn; eauto]).
      + cbn. destruct (decide (id = v)) as [<- | Hne].
        * rewrite lookup_alter. destruct (variables s !! id) as [x|]; [|discriminate]. cbn. intros [= <-]. cbn. eauto.
        * rewrite lookup_alter_ne by exact Hne. eauto.
      + destruct (names s !! id); cbn; eauto.
    - apply Hnew.
    - cbn [operate]. destruct variable; try exact C. pose proof (cached_get th id given s I C) as C'.
      destruct (get false th id given s) as [s' o]. destruct o; try exact C'. destruct raised; exact C'.
    - cbn [operate]. destruct variable; try exact C. apply cached_set; assumption.
    - cbn [operate]. destruct (is_bound s variable && is_bound s token); [|exact C]. destruct variable; try exact C.
      destruct token; try exact C. unfold on_token. destruct (held_token s id0) as [t|] eqn:Ht; [|exact C].
      apply cached_reset; auto. apply held_token_some, Ht.
  Qed.

  Lemma cached_initial : cached (initial (M := M)).
  Proof.
    split.
    - intros th. assert (thread_of (initial (M := M)) th = new_thread) as ->.
      { unfold thread_of. cbn. destruct (decide (th = 0)) as [-> | Hne].
        - rewrite lookup_singleton. reflexivity.
        - rewrite lookup_singleton_ne by congruence. reflexivity. }
      split; [split; reflexivity | reflexivity].
    - intros v x e g. cbn. rewrite lookup_empty. discriminate.
  Qed.

  Theorem reachable_cached s : reachable false s -> cached s.
  Proof.
    induction 1 as [|s p R IH]; [apply cached_initial|]. apply reachable_inv in R.
    assert (cached (set_events [] s)) as Ce by (destruct IH as [T E]; split; [exact T | exact E]).
    destruct (perform_cases false p s) as [-> | [L ->]]; [exact Ce|].
    apply cached_operate; [exact L | apply inv_events, R | exact Ce].
  Qed.

  (** ** Soundness *)

  (** Fewer than 2^64 switches of its thread lie between an entry's filling and now. *)
  Definition young s : Prop :=
    forall v x e g, variables s !! v = Some x -> var_cache x = Some (MkCache e g) ->
      th_switches (thread_of s (cached_thread e)) < g + wrap_at.

  (** CACHE-1, CACHE-5: a hit is what the lookup finds. *)
  Theorem cache_sound s th v x b : cached s -> young s -> variables s !! v = Some x ->
    cache_hit th (thread_of s th) x = Some b -> lookup_map (thread_of s th) v x s = Some b.
  Proof.
    intros C Y Hx. unfold cache_hit. destruct (var_cache x) as [[e g]|] eqn:Hc; [|discriminate].
    destruct (N.eqb_spec (cached_thread e) th) as [Et | _]; [|discriminate]. cbn [andb].
    destruct (u64_eqb (cached_ver e) (th_ver (thread_of s th))) eqn:Ev; [|discriminate]. intros [= <-].
    destruct (cached_entries s C v x e g Hx Hc) as (V & G & L). specialize (Y v x e g Hx Hc).
    rewrite Et in *. apply L. unfold u64_eqb in Ev. apply andb_true_iff in Ev as [E1 E2]. apply N.eqb_eq in E1, E2.
    destruct (cached_threads s C th) as [_ T]. unfold u64_value in V, T. rewrite E1, E2, T in V.
    (* two numbers of switches less than 2^64 apart and equal modulo it *)
    assert (wrap_at <> 0) as W by discriminate.
    pose proof (N.div_mod (1 + th_switches (thread_of s th)) wrap_at W) as D1.
    pose proof (N.div_mod (1 + g) wrap_at W) as D2. rewrite V in D1.
    set (q1 := (1 + th_switches (thread_of s th)) / wrap_at) in *. set (q2 := (1 + g) / wrap_at) in *.
    assert (wrap_at * q2 <= wrap_at * q1 /\ wrap_at * q1 < wrap_at * q2 + wrap_at) as [A B] by (unfold ghost in *; lia).
    assert (q1 = q2) as Eq.
    { clearbody q1 q2. clear -A B. destruct (N.lt_trichotomy q1 q2) as [Q | [Q | Q]]; [|exact Q|]; exfalso.
      - assert (wrap_at * (q1 + 1) <= wrap_at * q2) by (apply N.mul_le_mono_l; lia). unfold wrap_at, half in *. lia.
      - assert (wrap_at * (q2 + 1) <= wrap_at * q1) by (apply N.mul_le_mono_l; lia). unfold wrap_at, half in *. lia. }
    rewrite Eq in D1. unfold ghost in *. lia.
  Qed.

  (** So the machine that trusts the cache does what the other does, step for step. *)
  Theorem cached_machine p s : cached s -> young s -> perform true p s = perform false p s.
  Proof.
    intros C Y. unfold perform, carry_out. set (e := set_events [] s).
    match goal with |- context [th_live ?t] => destruct (th_live t) end; [|reflexivity].
    destruct (forallb (is_bound e) (uses (step_operation p))); [|reflexivity].
    assert (forall th v x, variables e !! v = Some x -> lookup true th v x e = lookup false th v x e) as El.
    { intros th v x Hx. unfold lookup. cbn [andb]. destruct (present (current (thread_of e th))); [|reflexivity].
      destruct (cache_hit th (thread_of e th) x) as [b|] eqn:Eh; [|reflexivity].
      symmetry. apply (cache_sound e th v x b); [destruct C as [T E]; split; [exact T | exact E] | exact Y | exact Hx | exact Eh]. }
    assert (forall th v d, get true th v d e = get false th v d e) as Eg.
    { intros th v d. unfold get. destruct (held_variable e v) as [x|] eqn:Ex; [|reflexivity].
      rewrite El by (apply held_variable_some, Ex). reflexivity. }
    replace (operate true (step_thread p) (step_operation p) e) with (operate false (step_thread p) (step_operation p) e); [reflexivity|].
    destruct (step_operation p); try reflexivity; cbn [operate]; [|destruct variable; try reflexivity]; rewrite Eg; reflexivity.
  Qed.
End cache.
